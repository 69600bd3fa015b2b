defmodule My.Cache do
  @doc "x"
  def evict(n) when n > 0 do
    n
  end
  defp inner, do: 1
  defmacro m(x), do: x
  defstruct [:a]
end
defprotocol Shape do
  def area(x)
end
defimpl Shape, for: My.Cache do
  def area(x), do: 1
end
