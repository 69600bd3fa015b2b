function Get-Item2($x) { return 1 }
filter Foo { $_ }
class Cache : Base { [int] $n; Cache() {} [int] Evict([int] $n) { return 1 } }
enum Color { Red }
