package main
// Cache holds.
type Cache struct { n int }
type Shape interface { Area() float64 }
type ID = string
type (
  A struct{}
  B int
)
// Evict removes.
func (c *Cache) Evict(n int) error { return nil }
func Map[T any](x T) T { return x }
