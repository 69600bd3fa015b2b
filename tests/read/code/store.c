#include <a.h>
#define MAX(a, b) ((a) > (b) ? (a) : (b))
/* Finds it. */
static int *find_item(struct list *l, int n)
{
  return what(1);
}
struct point { int x; };
typedef struct { int y; } pair_t;
enum color { RED };
union u { int a; };
int prototype(int x);
int main(void) { return 0; }
void (*signal(int sig, void (*func)(int)))(int) { return 0; }
