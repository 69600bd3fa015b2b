/** Loads all. */
export default async function loadAll(x) {
  function inner() { return 1; }
}
class Cache extends Map {
  #n = 1;
  static evict(n) { return n; }
  get size() { return 2; }
  handler = async (e) => { work(); };
}
export const pick = (x) => x + 1;
const api = { get(path) { return path; }, post: function (p) { return p; } };
Foo.prototype.bar = function () { return 3; };
module.exports = function named() {};
