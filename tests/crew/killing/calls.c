/* Preloaded into a process, ends it with SIGKILL at one of the system calls by which it changes files.
 *
 * crash_at() says at which, and below which folder calls count: writing, syncing, cutting, making, renaming and
 * removing a file. KILL_TORN does half of a write first. With a shadow folder, each file that is synced is copied
 * there: what the folder holds when the process dies is what a loss of power would have left at the worst.
 */
#define _GNU_SOURCE
#include <dlfcn.h>
#include <fcntl.h>
#include <signal.h>
#include <stdarg.h>
#include <stdatomic.h>
#include <stdio.h>
#include <string.h>
#include <sys/stat.h>
#include <sys/uio.h>
#include <unistd.h>

enum { KILL_BEFORE, KILL_TORN };

static char home[4096], shadow[4096];
static atomic_long calls;
static long last = -1;
static int how;

void crash_at(const char *below, const char *synced, long call, int mode) {
    snprintf(home, sizeof home, "%s/", below);
    snprintf(shadow, sizeof shadow, "%s", synced);
    calls = 0;
    how = mode;
    last = call;
}

long crash_calls(void) { return calls; }

static void *real(const char *name) { return dlsym(RTLD_NEXT, name); }
#define REAL(type, name) type (*next)(); next = (type (*)())real(#name)

static int is_ours(const char *path) { return home[0] && strncmp(path, home, strlen(home)) == 0; }

static int path_of(int fd, char *path) {
    char link[64];
    snprintf(link, sizeof link, "/proc/self/fd/%d", fd);
    ssize_t size = readlink(link, path, 4095);
    path[size < 0 ? 0 : size] = 0;
    return size >= 0 && is_ours(path);
}

/* Returns whether this is the call at which half is to be done. */
static int point(void) {
    if (last < 0 || atomic_fetch_add(&calls, 1) != last) return 0;
    if (how == KILL_TORN) return 1;
    kill(getpid(), SIGKILL);
    pause();
    return 0;
}

static void die(void) { kill(getpid(), SIGKILL); pause(); }

static int counted_path(const char *path) {
    char whole[4096];
    if (path[0] != '/') {
        if (!getcwd(whole, sizeof whole - strlen(path) - 2)) return 0;
        strcat(strcat(whole, "/"), path);
        path = whole;
    }
    return is_ours(path);
}

ssize_t write(int fd, const void *data, size_t size) {
    char path[4096];
    REAL(ssize_t, write);
    if (path_of(fd, path) && point()) { next(fd, data, size / 2); die(); }
    return next(fd, data, size);
}

static ssize_t put(ssize_t (*next)(), int fd, const void *data, size_t size, off_t at) {
    char path[4096];
    if (path_of(fd, path) && point()) { next(fd, data, size / 2, at); die(); }
    return next(fd, data, size, at);
}

ssize_t pwrite(int fd, const void *data, size_t size, off_t at) { return put(real("pwrite"), fd, data, size, at); }
ssize_t pwrite64(int fd, const void *data, size_t size, off_t at) { return put(real("pwrite64"), fd, data, size, at); }

ssize_t writev(int fd, const struct iovec *parts, int count) {
    char path[4096];
    REAL(ssize_t, writev);
    if (path_of(fd, path) && point()) die();
    return next(fd, parts, count);
}

static int cut(int (*next)(), int fd, off_t size) {
    char path[4096];
    if (path_of(fd, path) && point()) die();
    return next(fd, size);
}

int ftruncate(int fd, off_t size) { return cut(real("ftruncate"), fd, size); }
int ftruncate64(int fd, off_t size) { return cut(real("ftruncate64"), fd, size); }

static void keep(const char *path) {
    char copy[8192 + 16], whole[8192], block[65536];
    ssize_t size;
    snprintf(whole, sizeof whole, "%s/%s", shadow, path + strlen(home));
    for (char *slash = whole + strlen(shadow) + 1; (slash = strchr(slash, '/')); slash++) {
        *slash = 0;
        mkdir(whole, 0700);
        *slash = '/';
    }
    snprintf(copy, sizeof copy, "%s.new", whole);
    int from = open(path, O_RDONLY), to = open(copy, O_WRONLY | O_CREAT | O_TRUNC, 0600);
    while (from >= 0 && (size = read(from, block, sizeof block)) > 0)
        if (write(to, block, size) < 0) break;
    if (from >= 0) close(from);
    close(to);
    rename(copy, whole);
}

static int sync_file(int (*next)(), int fd) {
    char path[4096];
    int ours = path_of(fd, path);
    if (ours && point()) die();
    int answer = next(fd);
    if (ours && !answer && shadow[0]) keep(path);
    return answer;
}

int fsync(int fd) { return sync_file(real("fsync"), fd); }
int fdatasync(int fd) { return sync_file(real("fdatasync"), fd); }

static int open_file(int (*next)(), const char *path, int flags, mode_t mode) {
    int makes = (flags & (O_CREAT | O_TRUNC)) && (flags & O_TRUNC || access(path, F_OK));
    if (makes && counted_path(path) && point()) die();
    return next(path, flags, mode);
}

#define MODE va_list list; va_start(list, flags); mode_t mode = flags & O_CREAT ? va_arg(list, mode_t) : 0; va_end(list)
int open(const char *path, int flags, ...) { MODE; return open_file(real("open"), path, flags, mode); }
int open64(const char *path, int flags, ...) { MODE; return open_file(real("open64"), path, flags, mode); }

int unlink(const char *path) {
    REAL(int, unlink);
    int ours = counted_path(path);
    if (ours && point()) die();
    int answer = next(path);
    /* File systems with a journal of their own keep the order: whoever is synced later finds it removed. */
    if (ours && !answer && shadow[0] && is_ours(path)) {
        char copy[8192];
        snprintf(copy, sizeof copy, "%s/%s", shadow, path + strlen(home));
        next(copy);
    }
    return answer;
}

int rename(const char *old, const char *new) {
    REAL(int, rename);
    if (counted_path(new) && point()) die();
    return next(old, new);
}

int mkdir(const char *path, mode_t mode) {
    REAL(int, mkdir);
    if (counted_path(path) && point()) die();
    return next(path, mode);
}
