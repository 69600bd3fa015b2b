module Store where
-- | A cache
data Cache a = Cache { n :: Int } | Empty
newtype Id = Id Int
type Name = String
class Shape a where
  area :: a -> Double
instance Shape Cache where
  area _ = 1
evict :: Int -> Int
evict 0 = 0
evict n = n - 1
x = 3
