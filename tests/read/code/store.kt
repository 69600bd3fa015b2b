package a.b
@Serializable
data class Cache(val n: Int) : Base() {
  companion object { fun make() = 1 }
  suspend fun evict(n: Int): Int { return n }
  constructor(x: String) : this(1) { }
}
sealed interface Shape { fun area(): Double }
object Single { fun x() {} }
enum class Color { RED }
fun String.shout(): String = uppercase()
typealias Id = String
