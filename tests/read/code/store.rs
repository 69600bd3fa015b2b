mod inner { pub fn deep() {} }
/// A cache.
#[derive(Debug)]
pub struct Cache<T> { n: T }
pub trait Shape { fn area(&self) -> f64; fn twice(&self) -> f64 { 2.0 } }
impl<T> Shape for Cache<T> where T: Copy {
    #[inline]
    pub(crate) async unsafe fn evict<U>(&mut self, n: U) { }
}
enum Color { Red }
union U { a: u8 }
type Id = u32;
macro_rules! my_macro { () => {} }
pub const fn one() -> u8 { 1 }
