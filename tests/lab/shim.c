/* Loaded into the processes of a test before the C library: lets the n-th call that changes
   something fail, or kill the process there, shifts the clock, and refuses to write a database.
   What is to happen stands in a file that all these processes share; see shim.py. */

#define _GNU_SOURCE
#include <dlfcn.h>
#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <signal.h>
#include <stdatomic.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/socket.h>
#include <sys/time.h>
#include <sys/uio.h>
#include <time.h>
#include <unistd.h>

enum { BROKER = 1, AGENT = 2, KEEPER = 4, CARRIER = 8 };

struct control {
    _Atomic int64_t clock_s;     /* added to the wall clock */
    _Atomic int64_t read_only;   /* files whose name holds "catalog.db" cannot be written */
    _Atomic int64_t roles;       /* whose calls count */
    _Atomic int64_t count;       /* calls so far */
    _Atomic int64_t first, last; /* calls with these numbers and those between fail */
    _Atomic int64_t error;       /* errno; 0 kills the process instead */
    _Atomic int64_t failed;      /* calls that failed, processes that were killed */
};

static struct control *control;
static int own_role;
static pid_t own_pid;

static void *next(const char *name) { return dlsym(RTLD_NEXT, name); }

static int role_of(const char *line, size_t size) {
    int agent = 0;
    for (const char *word = line; word < line + size; word += strlen(word) + 1) {
        if (!strcmp(word, "broker")) return BROKER;
        if (strstr(word, ".pyz")) agent = 1;
        if (agent && !strcmp(word, "serve")) return AGENT;
        if (agent && (!strcmp(word, "connect") || !strcmp(word, "bulk"))) return CARRIER;
    }
    return 0;
}

__attribute__((constructor)) static void begin(void) {
    const char *path = getenv("MEDGRID_TEST_SHIM");
    int (*real_open)(const char *, int, ...) = next("open");
    int file = real_open(path ? path : "/run/medgrid-test-shim", O_RDWR | O_CLOEXEC);
    if (file < 0) return;
    void *found = mmap(NULL, sizeof *control, PROT_READ | PROT_WRITE, MAP_SHARED, file, 0);
    close(file);
    if (found == MAP_FAILED) return;
    char line[8192];
    file = real_open("/proc/self/cmdline", O_RDONLY | O_CLOEXEC);
    if (file >= 0) {
        ssize_t size = read(file, line, sizeof line - 1);
        close(file);
        if (size > 0) {
            line[size] = 0;
            own_role = role_of(line, (size_t)size);
        }
    }
    own_pid = getpid();
    control = found;
}

/* Whether this call is to fail; then errno is set. */
static int fails(int of_space) {
    if (!control || !own_role) return 0;
    int role = own_role == AGENT && getpid() != own_pid ? KEEPER : own_role;
    if (!(control->roles & role)) return 0;
    int64_t number = atomic_fetch_add(&control->count, 1) + 1;
    if (number < control->first || number > control->last) return 0;
    atomic_fetch_add(&control->failed, 1);
    if (!control->error) {
        raise(SIGKILL);
    }
    errno = control->error == ENOSPC && !of_space ? EIO : (int)control->error;
    return 1;
}

static int is_catalog(int file) {
    char link[64], path[PATH_MAX];
    snprintf(link, sizeof link, "/proc/self/fd/%d", file);
    ssize_t size = readlink(link, path, sizeof path - 1);
    if (size <= 0) return 0;
    path[size] = 0;
    return strstr(path, "catalog.db") != NULL;
}

static int refused(int file) {
    if (control && control->read_only && own_role && is_catalog(file)) {
        errno = EROFS;
        return 1;
    }
    return 0;
}

#define WRAP(type, name, of_space, parameters, arguments)                                          \
    type name parameters {                                                                         \
        static type(*real) parameters;                                                             \
        if (!real) real = next(#name);                                                             \
        if (fails(of_space)) return -1;                                                            \
        return real arguments;                                                                     \
    }

#define WRAP_FILE(type, name, parameters, arguments)                                               \
    type name parameters {                                                                         \
        static type(*real) parameters;                                                             \
        if (!real) real = next(#name);                                                             \
        if (refused(file) || fails(1)) return -1;                                                  \
        return real arguments;                                                                     \
    }

WRAP_FILE(ssize_t, write, (int file, const void *data, size_t size), (file, data, size))
WRAP_FILE(ssize_t, writev, (int file, const struct iovec *parts, int many), (file, parts, many))
WRAP_FILE(ssize_t, pwrite, (int file, const void *data, size_t size, off_t at),
          (file, data, size, at))
WRAP_FILE(ssize_t, pwrite64, (int file, const void *data, size_t size, off64_t at),
          (file, data, size, at))
WRAP_FILE(int, ftruncate, (int file, off_t size), (file, size))
WRAP_FILE(int, ftruncate64, (int file, off64_t size), (file, size))
WRAP_FILE(int, posix_fallocate64, (int file, off64_t at, off64_t size), (file, at, size))
WRAP(int, fsync, 0, (int file), (file))
WRAP(int, fdatasync, 0, (int file), (file))
WRAP(int, rename, 1, (const char *from, const char *to), (from, to))
WRAP(int, renameat, 1, (int a, const char *from, int b, const char *to), (a, from, b, to))
WRAP(int, unlink, 0, (const char *path), (path))
WRAP(int, mkdir, 1, (const char *path, mode_t mode), (path, mode))

/* A connection that cannot be written to cannot be read either. */
static int lost(int file) {
    if (!fails(0)) return 0;
    shutdown(file, SHUT_RDWR);
    errno = ECONNRESET;
    return 1;
}

ssize_t send(int file, const void *data, size_t size, int flags) {
    static ssize_t (*real)(int, const void *, size_t, int);
    if (!real) real = next("send");
    return lost(file) ? -1 : real(file, data, size, flags);
}

ssize_t sendto(int file, const void *data, size_t size, int flags, const struct sockaddr *to,
               socklen_t length) {
    static ssize_t (*real)(int, const void *, size_t, int, const struct sockaddr *, socklen_t);
    if (!real) real = next("sendto");
    return lost(file) ? -1 : real(file, data, size, flags, to, length);
}

static int open_refused(const char *path, int flags) {
    if (control && control->read_only && own_role && (flags & (O_WRONLY | O_RDWR)) &&
        strstr(path, "catalog.db")) {
        errno = EROFS;
        return 1;
    }
    return 0;
}

int open(const char *path, int flags, ...) {
    static int (*real)(const char *, int, ...);
    if (!real) real = next("open");
    va_list more;
    va_start(more, flags);
    mode_t mode = va_arg(more, mode_t);
    va_end(more);
    if (open_refused(path, flags) || ((flags & O_CREAT) && fails(1))) return -1;
    return real(path, flags, mode);
}

int open64(const char *path, int flags, ...) {
    static int (*real)(const char *, int, ...);
    if (!real) real = next("open64");
    va_list more;
    va_start(more, flags);
    mode_t mode = va_arg(more, mode_t);
    va_end(more);
    if (open_refused(path, flags) || ((flags & O_CREAT) && fails(1))) return -1;
    return real(path, flags, mode);
}

int clock_gettime(clockid_t which, struct timespec *now) {
    static int (*real)(clockid_t, struct timespec *);
    if (!real) real = next("clock_gettime");
    int code = real(which, now);
    if (!code && control && (which == CLOCK_REALTIME || which == CLOCK_REALTIME_COARSE))
        now->tv_sec += control->clock_s;
    return code;
}

int gettimeofday(struct timeval *now, void *zone) {
    static int (*real)(struct timeval *, void *);
    if (!real) real = next("gettimeofday");
    int code = real(now, zone);
    if (!code && control) now->tv_sec += control->clock_s;
    return code;
}

time_t time(time_t *where) {
    struct timespec now;
    clock_gettime(CLOCK_REALTIME, &now);
    if (where) *where = now.tv_sec;
    return now.tv_sec;
}
