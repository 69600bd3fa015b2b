/* Preloaded into a process: counts, fails or records the system calls that concern one folder.
 *
 * torture_watch(folder)                   count from 0 the calls whose file lies in the folder, or is it
 * torture_arm(call, nth, error, forever)  the nth call of that kind fails; error 0: it does half of its bytes
 * torture_record(path)                    append each change, with its bytes, to a file outside the folder
 * torture_mark(text)                      append a remark
 */
#define _GNU_SOURCE
#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <pthread.h>
#include <stdarg.h>
#include <stdint.h>
#include <stdio.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <unistd.h>

enum call { OPEN, READ, WRITE, SYNC, TRUNCATE, RENAME, UNLINK, MKDIR, MMAP, MARK, CALLS };
enum { DESCRIPTORS = 65536 };

struct entry { /* of the record; the two byte strings follow */
  int32_t call, handle;
  int64_t number; /* an offset, a size, or the flags of open */
  int32_t first, second;
};

static pthread_mutex_t mutex = PTHREAD_MUTEX_INITIALIZER;
static char watched[PATH_MAX];
static size_t watched_length;
static int handles[DESCRIPTORS]; /* by descriptor; 0: not of the folder */
static int last_handle;
static long counted[CALLS];
static int armed_call = -1, armed_error, armed_forever;
static long armed_nth;
static int record = -1;

void torture_disarm(void) { armed_call = -1; }

void torture_watch(const char *folder) {
  torture_disarm();
  memset(counted, 0, sizeof counted);
  watched_length = strlen(folder);
  memcpy(watched, folder, watched_length + 1);
}

void torture_arm(int call, long nth, int error, int forever) {
  armed_nth = nth;
  armed_error = error;
  armed_forever = forever;
  armed_call = call;
}

long torture_count(int call) { return counted[call]; }

void torture_record(const char *path) {
  if (record >= 0) syscall(SYS_close, record);
  record = path ? (int)syscall(SYS_openat, AT_FDCWD, path, O_WRONLY | O_CREAT | O_APPEND | O_CLOEXEC, 0600) : -1;
}

static void append(const void *bytes, size_t size) {
  while (size) {
    ssize_t done = syscall(SYS_write, record, bytes, size);
    if (done <= 0) return;
    bytes = (const char *)bytes + done;
    size -= (size_t)done;
  }
}

static void note(int call, int handle, int64_t number, const void *first, size_t size, const char *second) {
  if (record < 0) return;
  int before = errno;
  struct entry entry = {call, handle, number, (int32_t)size, second ? (int32_t)strlen(second) : 0};
  pthread_mutex_lock(&mutex);
  append(&entry, sizeof entry);
  append(first, size);
  if (second) append(second, strlen(second));
  pthread_mutex_unlock(&mutex);
  errno = before;
}

void torture_mark(const char *text) { note(MARK, 0, 0, text, strlen(text), NULL); }

/* 1: the call has to fail, with errno set; 2: it has to do half; 0: neither. */
static int fails(int call) {
  pthread_mutex_lock(&mutex);
  long nth = ++counted[call];
  int hit = call == armed_call && (nth == armed_nth || (armed_forever && nth > armed_nth));
  pthread_mutex_unlock(&mutex);
  if (!hit) return 0;
  if (!armed_error) return 2;
  errno = armed_error;
  return 1;
}

static int handle_of(int descriptor) {
  return descriptor >= 0 && descriptor < DESCRIPTORS ? handles[descriptor] : 0;
}

/* The absolute path, and whether it lies in the watched folder. */
static int lies_inside(int folder, const char *path, char *absolute) {
  absolute[0] = 0;
  if (!watched_length) return 0;
  if (path[0] == '/') {
    snprintf(absolute, PATH_MAX, "%s", path);
  } else {
    char base[PATH_MAX / 2] = "", link[64];
    if (folder == AT_FDCWD) {
      if (!getcwd(base, sizeof base)) return 0;
    } else {
      snprintf(link, sizeof link, "/proc/self/fd/%d", folder);
      ssize_t length = readlink(link, base, sizeof base - 1);
      if (length < 0) return 0;
      base[length] = 0;
    }
    snprintf(absolute, PATH_MAX, "%s/%.2000s", base, path);
  }
  size_t length = strlen(absolute);
  while (length > 1 && absolute[length - 1] == '/') absolute[--length] = 0;
  return !strncmp(absolute, watched, watched_length) && (!absolute[watched_length] || absolute[watched_length] == '/');
}

static int opened(int folder, const char *path, int flags, mode_t mode) {
  char absolute[PATH_MAX];
  int inside = lies_inside(folder, path, absolute);
  /* A file above the folder is not watched, but a sync of it makes the folder's own name durable. */
  int above = !inside && absolute[0] && !strncmp(absolute, watched, strlen(absolute));
  if (inside && fails(OPEN)) return -1;
  int descriptor = (int)syscall(SYS_openat, folder, path, flags, mode);
  if (descriptor >= 0 && descriptor < DESCRIPTORS) {
    handles[descriptor] = inside || above ? ++last_handle : 0;
    if (handles[descriptor]) note(OPEN, handles[descriptor], flags, absolute, strlen(absolute), NULL);
  }
  return descriptor;
}

#define MODE(flags, mode)                   \
  mode_t mode = 0;                          \
  if ((flags) & (O_CREAT | O_TMPFILE)) {    \
    va_list list;                           \
    va_start(list, flags);                  \
    mode = (mode_t)va_arg(list, int);       \
    va_end(list);                           \
  }

int open(const char *path, int flags, ...) {
  MODE(flags, mode)
  return opened(AT_FDCWD, path, flags, mode);
}
int open64(const char *path, int flags, ...) {
  MODE(flags, mode)
  return opened(AT_FDCWD, path, flags, mode);
}
int openat(int folder, const char *path, int flags, ...) {
  MODE(flags, mode)
  return opened(folder, path, flags, mode);
}
int openat64(int folder, const char *path, int flags, ...) {
  MODE(flags, mode)
  return opened(folder, path, flags, mode);
}

int close(int descriptor) {
  if (descriptor >= 0 && descriptor < DESCRIPTORS) handles[descriptor] = 0;
  return (int)syscall(SYS_close, descriptor);
}

/* How many bytes to ask for, or -1 where the call fails. */
static ssize_t asked(int call, int descriptor, size_t count) {
  if (!handle_of(descriptor)) return (ssize_t)count;
  int how = fails(call);
  return how == 1 ? -1 : how == 2 && count > 1 ? (ssize_t)(count / 2) : (ssize_t)count;
}

ssize_t read(int descriptor, void *bytes, size_t count) {
  ssize_t ask = asked(READ, descriptor, count);
  return ask < 0 ? -1 : syscall(SYS_read, descriptor, bytes, ask);
}
static ssize_t read_at(int descriptor, void *bytes, size_t count, off_t offset) {
  ssize_t ask = asked(READ, descriptor, count);
  return ask < 0 ? -1 : syscall(SYS_pread64, descriptor, bytes, ask, offset);
}
ssize_t pread(int descriptor, void *bytes, size_t count, off_t offset) {
  return read_at(descriptor, bytes, count, offset);
}
ssize_t pread64(int descriptor, void *bytes, size_t count, off64_t offset) {
  return read_at(descriptor, bytes, count, offset);
}

ssize_t write(int descriptor, const void *bytes, size_t count) {
  ssize_t ask = asked(WRITE, descriptor, count);
  if (ask < 0) return -1;
  ssize_t done = syscall(SYS_write, descriptor, bytes, ask);
  int handle = handle_of(descriptor);
  if (done > 0 && handle)
    note(WRITE, handle, lseek(descriptor, 0, SEEK_CUR) - done, bytes, (size_t)done, NULL);
  return done;
}
static ssize_t write_at(int descriptor, const void *bytes, size_t count, off_t offset) {
  ssize_t ask = asked(WRITE, descriptor, count);
  if (ask < 0) return -1;
  ssize_t done = syscall(SYS_pwrite64, descriptor, bytes, ask, offset);
  if (done > 0 && handle_of(descriptor)) note(WRITE, handle_of(descriptor), offset, bytes, (size_t)done, NULL);
  return done;
}
ssize_t pwrite(int descriptor, const void *bytes, size_t count, off_t offset) {
  return write_at(descriptor, bytes, count, offset);
}
ssize_t pwrite64(int descriptor, const void *bytes, size_t count, off64_t offset) {
  return write_at(descriptor, bytes, count, offset);
}

static int synced(int descriptor, long number) {
  if (handle_of(descriptor) && fails(SYNC)) return -1;
  int answer = (int)syscall(number, descriptor);
  if (!answer && handle_of(descriptor)) note(SYNC, handle_of(descriptor), 0, NULL, 0, NULL);
  return answer;
}
int fsync(int descriptor) { return synced(descriptor, SYS_fsync); }
int fdatasync(int descriptor) { return synced(descriptor, SYS_fdatasync); }

static int truncated(int descriptor, off_t size) {
  if (handle_of(descriptor) && fails(TRUNCATE)) return -1;
  int answer = (int)syscall(SYS_ftruncate, descriptor, size);
  if (!answer && handle_of(descriptor)) note(TRUNCATE, handle_of(descriptor), size, NULL, 0, NULL);
  return answer;
}
int ftruncate(int descriptor, off_t size) { return truncated(descriptor, size); }
int ftruncate64(int descriptor, off64_t size) { return truncated(descriptor, size); }

int renameat(int from, const char *path, int to, const char *target) {
  char old[PATH_MAX], new[PATH_MAX];
  int inside = lies_inside(from, path, old) | lies_inside(to, target, new);
  if (inside && fails(RENAME)) return -1;
  int answer = (int)syscall(SYS_renameat2, from, path, to, target, 0);
  if (!answer && inside) note(RENAME, 0, 0, old, strlen(old), new);
  return answer;
}
int rename(const char *path, const char *target) { return renameat(AT_FDCWD, path, AT_FDCWD, target); }

int unlinkat(int folder, const char *path, int flags) {
  char absolute[PATH_MAX];
  int inside = lies_inside(folder, path, absolute);
  if (inside && fails(UNLINK)) return -1;
  int answer = (int)syscall(SYS_unlinkat, folder, path, flags);
  if (!answer && inside) note(UNLINK, 0, 0, absolute, strlen(absolute), NULL);
  return answer;
}
int unlink(const char *path) { return unlinkat(AT_FDCWD, path, 0); }
int rmdir(const char *path) { return unlinkat(AT_FDCWD, path, AT_REMOVEDIR); }

int mkdirat(int folder, const char *path, mode_t mode) {
  char absolute[PATH_MAX];
  int inside = lies_inside(folder, path, absolute);
  if (inside && fails(MKDIR)) return -1;
  int answer = (int)syscall(SYS_mkdirat, folder, path, mode);
  if (!answer && inside) note(MKDIR, 0, 0, absolute, strlen(absolute), NULL);
  return answer;
}
int mkdir(const char *path, mode_t mode) { return mkdirat(AT_FDCWD, path, mode); }

static void *mapped(void *at, size_t size, int rights, int flags, int descriptor, off_t offset) {
  if (handle_of(descriptor) && fails(MMAP)) return MAP_FAILED;
  return (void *)syscall(SYS_mmap, at, size, rights, flags, descriptor, offset);
}
void *mmap(void *at, size_t size, int rights, int flags, int descriptor, off_t offset) {
  return mapped(at, size, rights, flags, descriptor, offset);
}
void *mmap64(void *at, size_t size, int rights, int flags, int descriptor, off64_t offset) {
  return mapped(at, size, rights, flags, descriptor, offset);
}
