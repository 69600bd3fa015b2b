module Store = struct
  type t = { n : int }
  let evict n = n
  let rec loop x = x and other y = y
end
module type S = sig val x : int end
class cache = object method evict n = n end
let main () = 1
let value = 3
exception E
