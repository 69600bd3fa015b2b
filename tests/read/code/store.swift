@available(iOS 13, *)
public struct Cache<T>: Shape {
  init(n: Int) { }
  public func evict(_ n: Int) -> Int { return 1 }
  deinit { }
  subscript(i: Int) -> Int { return i }
}
protocol Shape { func area() -> Double }
extension Cache { static func make() {} }
enum Color { case red }
actor Counter { func inc() {} }
final class K { var x: Int { return 1 } }
func top() {}
