/* Loaded into the processes of a test before the C library: lets the n-th call that changes
   something fail, or kill the process there, shifts the clock, refuses to write a database, and
   writes down in which order files are written, flushed and named. What is to happen, and what did,
   stands in a file that all these processes share; see shim.py. */

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
#include <sys/sendfile.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <sys/time.h>
#include <sys/uio.h>
#include <time.h>
#include <unistd.h>

enum { BROKER = 1, AGENT = 2, KEEPER = 4, CARRIER = 8, UPGRADE = 16 };

struct control {
    _Atomic int64_t clock_s;     /* added to the wall clock */
    _Atomic int64_t read_only;   /* files whose name holds "catalog.db" cannot be written */
    _Atomic int64_t roles;       /* whose calls count */
    _Atomic int64_t count;       /* calls so far */
    _Atomic int64_t first, last; /* calls with these numbers and those between fail */
    _Atomic int64_t error;       /* errno; 0 kills the process instead */
    _Atomic int64_t failed;      /* calls that failed, processes that were killed */
    _Atomic int64_t recording;   /* calls of all processes are written down */
    _Atomic int64_t used;        /* bytes of `lines`, and of what found no room there */
    char lines[];
};

static struct control *control;
static int64_t room; /* for `lines` */
static int own_role;
static pid_t own_pid;

static void *next(const char *name) { return dlsym(RTLD_NEXT, name); }

static int role_of(const char *line, size_t size) {
    int agent = 0;
    for (const char *word = line; word < line + size; word += strlen(word) + 1) {
        if (!strcmp(word, "broker")) return BROKER;
        if (!strcmp(word, "upgrade")) return UPGRADE;
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
    struct stat size;
    if (fstat(file, &size)) return;
    void *found = mmap(NULL, (size_t)size.st_size, PROT_READ | PROT_WRITE, MAP_SHARED, file, 0);
    close(file);
    if (found == MAP_FAILED) return;
    room = size.st_size - (int64_t)sizeof *control;
    char line[8192];
    file = real_open("/proc/self/cmdline", O_RDONLY | O_CLOEXEC);
    if (file >= 0) {
        ssize_t read_bytes = read(file, line, sizeof line - 1);
        close(file);
        if (read_bytes > 0) {
            line[read_bytes] = 0;
            own_role = role_of(line, (size_t)read_bytes);
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

/* What an open file is called now: a path, or words such as "pipe:[1]"; empty if unknown. */
static void name_of(int file, char path[PATH_MAX]) {
    char link[64];
    snprintf(link, sizeof link, "/proc/self/fd/%d", file);
    ssize_t size = readlink(link, path, PATH_MAX - 1);
    path[size > 0 ? size : 0] = 0;
}

static int is_catalog(int file) {
    char path[PATH_MAX];
    name_of(file, path);
    return strstr(path, "catalog.db") != NULL;
}

struct file {
    struct stat stat;
    char path[PATH_MAX];
};

static int is_recorded(void) { return control && control->recording; }

/* Write a line: what a thread did to which file, and what that was called before. */
static void note(const char *call, const struct file *what, const char *old_path) {
    char line[2 * PATH_MAX + 128];
    int size = snprintf(line, sizeof line, "%d\t%d\t%s\t%llx:%llx\t%s\t%s\n", (int)getpid(),
                        (int)syscall(SYS_gettid), call, (unsigned long long)what->stat.st_dev,
                        (unsigned long long)what->stat.st_ino, what->path, old_path);
    int64_t at = atomic_fetch_add(&control->used, size);
    if (at + size <= room) memcpy(control->lines + at, line, (size_t)size);
}

static void note_file(const char *call, int file) {
    struct file found;
    int code = errno;
    if (is_recorded() && !fstat(file, &found.stat)) {
        name_of(file, found.path);
        mode_t mode = found.stat.st_mode;
        if (!S_ISCHR(mode)) note(call, &found, "");
    }
    errno = code;
}

/* Look at what has a name, if it is to be written down; whether there is such a thing. */
static int look(int folder, const char *name, struct file *found) {
    found->path[0] = 0;
    if (!is_recorded() || !name) return 0;
    int code = errno;
    int file = openat(folder, name, O_PATH | O_NOFOLLOW | O_CLOEXEC);
    if (file >= 0) {
        if (!fstat(file, &found->stat)) name_of(file, found->path);
        close(file);
    }
    errno = code;
    return found->path[0] != 0;
}

static int refused(int file) {
    if (control && control->read_only && own_role && is_catalog(file)) {
        errno = EROFS;
        return 1;
    }
    return 0;
}

#define WRAP_FILE(type, name, spoils, of_space, parameters, arguments)                              \
    type name parameters {                                                                         \
        static type(*real) parameters;                                                             \
        if (!real) real = next(#name);                                                             \
        if ((spoils && refused(file)) || fails(of_space)) return -1;                               \
        type code = real arguments;                                                                \
        if (code >= 0) note_file(#name, file);                                                     \
        return code;                                                                               \
    }

/* `old` names what goes, `new` what comes; either may be NULL. */
#define WRAP_NAME(name, fails, parameters, arguments, old_folder, old, new_folder, new)            \
    int name parameters {                                                                          \
        static int(*real) parameters;                                                              \
        if (!real) real = next(#name);                                                             \
        if (fails) return -1;                                                                      \
        struct file before, after;                                                                 \
        int was_there = look(old_folder, old, &before);                                            \
        int code = real arguments;                                                                 \
        if (!code && look(new_folder, new, &after))                                                \
            note(#name, &after, before.path);                                                      \
        else if (!code && was_there)                                                               \
            note(#name, &before, "");                                                              \
        return code;                                                                               \
    }

WRAP_FILE(ssize_t, write, 1, 1, (int file, const void *data, size_t size), (file, data, size))
WRAP_FILE(ssize_t, writev, 1, 1, (int file, const struct iovec *parts, int many),
          (file, parts, many))
WRAP_FILE(ssize_t, pwrite, 1, 1, (int file, const void *data, size_t size, off_t at),
          (file, data, size, at))
WRAP_FILE(ssize_t, pwrite64, 1, 1, (int file, const void *data, size_t size, off64_t at),
          (file, data, size, at))
WRAP_FILE(int, ftruncate, 1, 1, (int file, off_t size), (file, size))
WRAP_FILE(int, ftruncate64, 1, 1, (int file, off64_t size), (file, size))
WRAP_FILE(int, posix_fallocate64, 1, 1, (int file, off64_t at, off64_t size), (file, at, size))
WRAP_FILE(int, fsync, 0, 0, (int file), (file))
WRAP_FILE(int, fdatasync, 0, 0, (int file), (file))
WRAP_NAME(rename, fails(1), (const char *from, const char *to), (from, to), AT_FDCWD, from,
          AT_FDCWD, to)
WRAP_NAME(renameat, fails(1), (int a, const char *from, int b, const char *to), (a, from, b, to), a,
          from, b, to)
WRAP_NAME(unlink, fails(0), (const char *path), (path), AT_FDCWD, path, AT_FDCWD, NULL)
WRAP_NAME(mkdir, fails(1), (const char *path, mode_t mode), (path, mode), AT_FDCWD, NULL, AT_FDCWD,
          path)

/* These are written down only: they never fail. */
WRAP_NAME(link, 0, (const char *from, const char *to), (from, to), AT_FDCWD, NULL, AT_FDCWD, to)
WRAP_NAME(linkat, 0, (int a, const char *from, int b, const char *to, int flags),
          (a, from, b, to, flags), AT_FDCWD, NULL, b, to)
WRAP_NAME(unlinkat, 0, (int a, const char *path, int flags), (a, path, flags), a, path, AT_FDCWD,
          NULL)
WRAP_NAME(rmdir, 0, (const char *path), (path), AT_FDCWD, path, AT_FDCWD, NULL)

#define WATCH_SENDFILE(name, offset)                                                               \
    ssize_t name(int file, int from, offset *at, size_t size) {                                    \
        static ssize_t (*real)(int, int, offset *, size_t);                                        \
        if (!real) real = next(#name);                                                             \
        ssize_t code = real(file, from, at, size);                                                 \
        if (code > 0) note_file(#name, file);                                                      \
        return code;                                                                               \
    }

WATCH_SENDFILE(sendfile, off_t)
WATCH_SENDFILE(sendfile64, off64_t)

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
    if (lost(file)) return -1;
    ssize_t code = real(file, data, size, flags);
    if (code >= 0) note_file("send", file);
    return code;
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

#define WRAP_OPEN(name)                                                                            \
    int name(const char *path, int flags, ...) {                                                   \
        static int (*real)(const char *, int, ...);                                                \
        if (!real) real = next(#name);                                                             \
        va_list more;                                                                              \
        va_start(more, flags);                                                                     \
        mode_t mode = va_arg(more, mode_t);                                                        \
        va_end(more);                                                                              \
        if (open_refused(path, flags) || ((flags & O_CREAT) && fails(1))) return -1;               \
        struct stat found;                                                                         \
        int is_new = is_recorded() && (flags & O_CREAT) && stat(path, &found);                     \
        int code = real(path, flags, mode);                                                        \
        if (code >= 0 && is_new) note_file("create", code);                                        \
        if (code >= 0 && !is_new && (flags & O_TRUNC)) note_file("truncate", code);                \
        return code;                                                                               \
    }

WRAP_OPEN(open)
WRAP_OPEN(open64)

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
