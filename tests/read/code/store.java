package a.b;
/** A cache. */
@Deprecated
public class Cache<K> extends Map {
  private final int n = 1;
  public Cache(int n) { this.n = n; }
  @Override
  public <T> List<T> evict(int n) throws Exception { return null; }
  interface Listener { void on(int x); }
  enum Mode { A, B { void f() {} } }
  record Point(int x, int y) { Point { check(); } }
  @interface Marker { String value(); }
}
