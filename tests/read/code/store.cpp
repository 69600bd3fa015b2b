namespace a::b {
template <typename T>
class Cache : public Base {
 public:
  Cache(int n) : n_(n) {}
  ~Cache();
  int size() const { return n_; }
  bool operator==(const Cache& o) const { return true; }
};
}
void a::b::Cache<int>::evict(int n) { }
struct P { int x; };
enum class Color { Red };
template <class T> T max_of(T a, T b) { return a; }
auto f = [](int x) { return x; };
static std::vector<int> const& get_all() { return v; }
