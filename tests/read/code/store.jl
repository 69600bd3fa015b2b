module Store
struct Cache{T} <: Base
  n::T
end
mutable struct M end
abstract type Shape end
function evict(c::Cache, n) where T
  1
end
area(x) = x^2
macro my(x) end
end
