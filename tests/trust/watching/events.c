/* Tells another process of everything that changes a folder, before it happens, and does what that process answers.
 *
 * Preloaded into Python; trust_watch() begins. An answer is a letter and a number: g go on, k be killed, e fail with that
 * errno, s do nothing and claim success, t write that many bytes and be killed.
 */
#define _GNU_SOURCE
#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <pthread.h>
#include <signal.h>
#include <stdarg.h>
#include <stdint.h>
#include <stdio.h>
#include <string.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <sys/types.h>
#include <unistd.h>

struct answer { char what; int64_t number; } __attribute__((packed));

static int talk = -1;
static char folder[PATH_MAX];
static pthread_mutex_t lock = PTHREAD_MUTEX_INITIALIZER;

void trust_watch(int handle, const char *path) {
    snprintf(folder, sizeof folder, "%s/", path);
    talk = handle;
}

static void of_handle(int handle, char *out) {
    char name[64];
    snprintf(name, sizeof name, "/proc/self/fd/%d", handle);
    ssize_t length = readlink(name, out, PATH_MAX - 1);
    out[length < 0 ? 0 : length] = 0;
}

static void absolute(int at, const char *path, char *out) {
    char base[PATH_MAX];
    if (path[0] == '/') { snprintf(out, PATH_MAX, "%s", path); return; }
    if (at == AT_FDCWD) { if (!getcwd(base, sizeof base)) base[0] = 0; } else of_handle(at, base);
    if (snprintf(out, PATH_MAX, "%s/%s", base, path) >= PATH_MAX) out[0] = 0;
}

static void die(void) {
    syscall(SYS_kill, getpid(), SIGKILL);
    for (;;) pause();
}

static struct answer ask(const char *call, const char *path, const char *other, int64_t number) {
    struct answer reply = {'g', 0};
    size_t length = strlen(folder);
    if (talk < 0 || (strncmp(path, folder, length) && strncmp(other, folder, length))) return reply;
    char line[2 * PATH_MAX + 64];
    int size = snprintf(line, sizeof line, "%s\t%s\t%s\t%lld\n", call, path, other, (long long)number);
    int before = errno;
    pthread_mutex_lock(&lock);
    if (syscall(SYS_write, talk, line, size) != size || syscall(SYS_read, talk, &reply, sizeof reply) != sizeof reply)
        die();
    pthread_mutex_unlock(&lock);
    errno = before;
    if (reply.what == 'k') die();
    return reply;
}

#define OBEY(reply, success)                                                            \
    do {                                                                                \
        if ((reply).what == 'e') { errno = (int)(reply).number; return -1; }            \
        if ((reply).what == 's') return (success);                                      \
    } while (0)

static int opened(int at, const char *path, int flags, mode_t mode) {
    if (flags & (O_WRONLY | O_RDWR | O_CREAT | O_TRUNC)) {
        char name[PATH_MAX];
        absolute(at, path, name);
        struct answer reply = ask("open", name, "", flags);
        if (reply.what == 'e') { errno = (int)reply.number; return -1; }
    }
    return (int)syscall(SYS_openat, at, path, flags, mode);
}

#define OPEN(name)                                                                      \
    int name(const char *path, int flags, ...) {                                        \
        va_list rest; va_start(rest, flags);                                            \
        mode_t mode = flags & (O_CREAT | O_TMPFILE) ? va_arg(rest, mode_t) : 0;         \
        va_end(rest);                                                                   \
        return opened(AT_FDCWD, path, flags, mode);                                     \
    }
#define OPENAT(name)                                                                    \
    int name(int at, const char *path, int flags, ...) {                                \
        va_list rest; va_start(rest, flags);                                            \
        mode_t mode = flags & (O_CREAT | O_TMPFILE) ? va_arg(rest, mode_t) : 0;         \
        va_end(rest);                                                                   \
        return opened(at, path, flags, mode);                                           \
    }
OPEN(open)
OPEN(open64)
OPENAT(openat)
OPENAT(openat64)

static struct answer ask_of(const char *call, int handle, int64_t number) {
    char name[PATH_MAX];
    struct answer go = {'g', 0};
    if (talk < 0) return go;
    of_handle(handle, name);
    return ask(call, name, "", number);
}

ssize_t write(int handle, const void *data, size_t size) {
    struct answer reply = ask_of("write", handle, size);
    OBEY(reply, (ssize_t)size);
    if (reply.what == 't') {
        syscall(SYS_write, handle, data, (size_t)reply.number < size ? (size_t)reply.number : size);
        die();
    }
    return syscall(SYS_write, handle, data, size);
}

#define PWRITE(name)                                                                    \
    ssize_t name(int handle, const void *data, size_t size, off_t at) {                 \
        struct answer reply = ask_of("write", handle, size);                            \
        OBEY(reply, (ssize_t)size);                                                     \
        if (reply.what == 't') {                                                        \
            syscall(SYS_pwrite64, handle, data, (size_t)reply.number < size ? (size_t)reply.number : size, at); \
            die();                                                                      \
        }                                                                               \
        return syscall(SYS_pwrite64, handle, data, size, at);                           \
    }
PWRITE(pwrite)
PWRITE(pwrite64)

#define FTRUNCATE(name)                                                                 \
    int name(int handle, off_t size) {                                                  \
        struct answer reply = ask_of("truncate", handle, size);                         \
        OBEY(reply, 0);                                                                 \
        return (int)syscall(SYS_ftruncate, handle, size);                               \
    }
FTRUNCATE(ftruncate)
FTRUNCATE(ftruncate64)

#define SENDFILE(name)                                                                  \
    ssize_t name(int to, int from, off_t *offset, size_t size) {                        \
        struct stat facts;                                                              \
        int64_t known = fstat(from, &facts) ? 0 : (int64_t)facts.st_size;               \
        struct answer reply = ask_of("write", to, known);                               \
        OBEY(reply, 0);                                                                 \
        if (reply.what == 't') {                                                        \
            syscall(SYS_sendfile, to, from, offset, (size_t)reply.number);              \
            die();                                                                      \
        }                                                                               \
        return syscall(SYS_sendfile, to, from, offset, size);                           \
    }
SENDFILE(sendfile)
SENDFILE(sendfile64)

static int synced(int handle, long number) {
    struct answer reply = ask_of("sync", handle, 0);
    OBEY(reply, 0);
    return (int)syscall(number, handle);
}
int fsync(int handle) { return synced(handle, SYS_fsync); }
int fdatasync(int handle) { return synced(handle, SYS_fdatasync); }

int renameat2(int from, const char *old, int to, const char *new, unsigned flags) {
    char first[PATH_MAX], second[PATH_MAX];
    absolute(from, old, first);
    absolute(to, new, second);
    struct answer reply = ask(flags & RENAME_EXCHANGE ? "exchange" : "rename", first, second, flags);
    OBEY(reply, 0);
    return (int)syscall(SYS_renameat2, from, old, to, new, flags);
}
int rename(const char *old, const char *new) { return renameat2(AT_FDCWD, old, AT_FDCWD, new, 0); }
int renameat(int from, const char *old, int to, const char *new) { return renameat2(from, old, to, new, 0); }

int linkat(int from, const char *old, int to, const char *new, int flags) {
    char first[PATH_MAX], second[PATH_MAX];
    absolute(from, old, first);
    absolute(to, new, second);
    struct answer reply = ask("link", first, second, 0);
    OBEY(reply, 0);
    return (int)syscall(SYS_linkat, from, old, to, new, flags);
}
int link(const char *old, const char *new) { return linkat(AT_FDCWD, old, AT_FDCWD, new, 0); }

int unlinkat(int at, const char *path, int flags) {
    char name[PATH_MAX];
    absolute(at, path, name);
    struct answer reply = ask(flags & AT_REMOVEDIR ? "rmdir" : "unlink", name, "", 0);
    OBEY(reply, 0);
    return (int)syscall(SYS_unlinkat, at, path, flags);
}
int unlink(const char *path) { return unlinkat(AT_FDCWD, path, 0); }
int rmdir(const char *path) { return unlinkat(AT_FDCWD, path, AT_REMOVEDIR); }

int mkdirat(int at, const char *path, mode_t mode) {
    char name[PATH_MAX];
    absolute(at, path, name);
    struct answer reply = ask("mkdir", name, "", 0);
    OBEY(reply, 0);
    return (int)syscall(SYS_mkdirat, at, path, mode);
}
int mkdir(const char *path, mode_t mode) { return mkdirat(AT_FDCWD, path, mode); }
