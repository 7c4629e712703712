/* Preloaded into the program: ends it or fails at a chosen call that changes files, or at a chosen allocation.
   KILL_AT=N kills at the Nth call, FAIL_AT=N fails it with ENOSPC, OUT_OF_MEMORY_AT=N gives nothing at the Nth allocation. */
#define _GNU_SOURCE
#include <dlfcn.h>
#include <errno.h>
#include <signal.h>
#include <stdlib.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <unistd.h>

static long asked(const char *name) {
  const char *value = getenv(name);
  return value ? atol(value) : 0;
}

/* Says that it happened, past all that is wrapped here. */
static void tell(void) { syscall(SYS_write, 2, "a fault\n", 8); }

static int fails(void) {
  static long calls;
  long call = __sync_add_and_fetch(&calls, 1);
  if (call == asked("KILL_AT")) {
    tell();
    kill(getpid(), SIGKILL);
  }
  if (call != asked("FAIL_AT")) return 0;
  tell();
  errno = ENOSPC;
  return 1;
}

#define WRAP(type, name, parameters, arguments)                       \
  type name parameters {                                              \
    static type(*real) parameters;                                    \
    if (!real) real = (type(*) parameters)dlsym(RTLD_NEXT, #name);    \
    return fails() ? -1 : real arguments;                             \
  }

WRAP(int, rename, (const char *a, const char *b), (a, b))
WRAP(int, link, (const char *a, const char *b), (a, b))
WRAP(int, linkat, (int d, const char *a, int e, const char *b, int f), (d, a, e, b, f))
WRAP(int, unlink, (const char *a), (a))
WRAP(int, unlinkat, (int d, const char *a, int f), (d, a, f))
WRAP(int, rmdir, (const char *a), (a))
WRAP(int, mkdir, (const char *a, mode_t m), (a, m))
WRAP(int, chmod, (const char *a, mode_t m), (a, m))
WRAP(int, fsync, (int fd), (fd))
WRAP(int, fdatasync, (int fd), (fd))
WRAP(int, ftruncate64, (int fd, off_t n), (fd, n))

ssize_t write(int fd, const void *bytes, size_t count) {
  static ssize_t (*real)(int, const void *, size_t);
  if (!real) real = (ssize_t(*)(int, const void *, size_t))dlsym(RTLD_NEXT, "write");
  return fd > 2 && fails() ? -1 : real(fd, bytes, count);
}

extern void *__libc_malloc(size_t);
extern void *__libc_realloc(void *, size_t);

static int is_out_of_memory(void) {
  static long calls;
  if (__sync_add_and_fetch(&calls, 1) != asked("OUT_OF_MEMORY_AT")) return 0;
  tell();
  return 1;
}

void *malloc(size_t size) { return is_out_of_memory() ? 0 : __libc_malloc(size); }
void *realloc(void *at, size_t size) { return is_out_of_memory() ? 0 : __libc_realloc(at, size); }
