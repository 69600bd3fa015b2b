package a.b
object Main extends App { def run(n: Int): Int = n }
case class Cache[T](n: Int) { private def evict(n: Int) = { n } }
sealed trait Shape { def area: Double }
enum Color { case Red }
given x: Int = 1
extension (s: String) def shout: String = s
type Id = String
