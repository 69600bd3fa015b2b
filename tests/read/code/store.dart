abstract class Cache<T> extends Base {
  Cache(this.n);
  Cache.named(int n) : this(n);
  @override
  Future<int> evict(int n) async { return 1; }
  int get size => 1;
}
mixin M on Base { void f() {} }
extension E on String { String shout() => toUpperCase(); }
enum Color { red }
void main() { }
typedef F = int Function(int);
