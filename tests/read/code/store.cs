namespace A.B {
  [Serializable]
  internal sealed record Cache(int N) {
    public int Size { get { return 1; } }
    public Cache() : this(1) { }
    [Obsolete]
    public static async Task<int> Evict<T>(int n) { int Local() => 1; return n; }
    public static Cache operator +(Cache a, Cache b) => a;
  }
  interface IShape { double Area(); }
  enum Color { Red }
  struct P { }
  delegate void Handler(int x);
}
