evict <- function(n) { n }
other = function(x) x
setClass("P", representation(x = "numeric"))
f <- \(x) x
