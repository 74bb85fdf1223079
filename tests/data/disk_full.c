/* A disk that is full while the file $DISK_FULL exists.
 *
 * Preloaded into a process: below $DISK_FULL_DIRECTORY no file is made and none becomes longer, as on a file system without a
 * free block. What overwrites bytes that are there goes on.
 */
#define _GNU_SOURCE
#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <stdarg.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <unistd.h>

static const char *directory, *full;

__attribute__((constructor)) static void start(void) {
    directory = getenv("DISK_FULL_DIRECTORY");
    full = getenv("DISK_FULL");
}

static int is_ours(const char *path) { return directory && full && strncmp(path, directory, strlen(directory)) == 0; }

/* Whether a file that ends at `end` has no room. */
static int has_no_room(int fd, uint64_t end) {
    char link[64], path[PATH_MAX];
    struct stat stat;
    snprintf(link, sizeof link, "/proc/self/fd/%d", fd);
    ssize_t len = readlink(link, path, sizeof path - 1);
    if (len < 0) return 0;
    path[len] = 0;
    int no_room = is_ours(path) && access(full, F_OK) == 0 && fstat(fd, &stat) == 0 && end > (uint64_t)stat.st_size;
    if (no_room) errno = ENOSPC;
    return no_room;
}

ssize_t write(int fd, const void *bytes, size_t len) {
    off_t at = lseek(fd, 0, SEEK_CUR);
    if (at >= 0 && has_no_room(fd, at + len)) return -1;
    return syscall(SYS_write, fd, bytes, len);
}

ssize_t pwrite(int fd, const void *bytes, size_t len, off_t at) {
    return has_no_room(fd, at + len) ? -1 : syscall(SYS_pwrite64, fd, bytes, len, at);
}

ssize_t pwrite64(int fd, const void *bytes, size_t len, off64_t at) { return pwrite(fd, bytes, len, at); }

int ftruncate(int fd, off_t size) { return has_no_room(fd, size) ? -1 : syscall(SYS_ftruncate, fd, size); }

int ftruncate64(int fd, off64_t size) { return ftruncate(fd, size); }

static int open_at(int at, const char *path, int flags, mode_t mode) {
    if ((flags & O_CREAT) && is_ours(path) && access(path, F_OK) != 0 && access(full, F_OK) == 0) {
        errno = ENOSPC;
        return -1;
    }
    return syscall(SYS_openat, at, path, flags, mode);
}

#define MODE(flags) ({ mode_t mode = 0; if ((flags) & (O_CREAT | __O_TMPFILE)) { va_list more; va_start(more, flags); \
                       mode = va_arg(more, mode_t); va_end(more); } mode; })

int open(const char *path, int flags, ...) { return open_at(AT_FDCWD, path, flags, MODE(flags)); }
int open64(const char *path, int flags, ...) { return open_at(AT_FDCWD, path, flags | O_LARGEFILE, MODE(flags)); }
int openat(int at, const char *path, int flags, ...) { return open_at(at, path, flags, MODE(flags)); }
int openat64(int at, const char *path, int flags, ...) { return open_at(at, path, flags | O_LARGEFILE, MODE(flags)); }
