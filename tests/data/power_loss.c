/* What a disk may forget when the power goes, noted down.
 *
 * Preloaded into a process. Of all files below $POWER_LOSS_DIRECTORY it writes to $POWER_LOSS_LOG, before it lets it happen:
 * each write and truncation with the bytes that were there before, each file made or removed; and, after it happened,
 * each sync. From that a test puts the files back to what only synced writes leave, or anything between.
 * What is written by mmap is not seen; SQLite's -shm is all that is, and it is worthless after a crash.
 * A record: struct record, path, old bytes, new bytes; native byte order.
 */
#define _GNU_SOURCE
#include <fcntl.h>
#include <limits.h>
#include <pthread.h>
#include <stdarg.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <unistd.h>

enum { WRITE = 1, TRUNCATE, SYNC, CREATE, UNLINK };

struct record {
    uint32_t kind, path_len;
    uint64_t at, size_before; /* the write's offset or the truncation's size; the file's size before */
    uint32_t old_len, new_len;
};

static pthread_mutex_t lock = PTHREAD_MUTEX_INITIALIZER;
static const char *directory, *log_path;
static int log_fd = -1;
static unsigned kept;

__attribute__((constructor)) static void start(void) {
    directory = getenv("POWER_LOSS_DIRECTORY");
    log_path = getenv("POWER_LOSS_LOG");
    if (!directory || !log_path) return;
    log_fd = syscall(SYS_openat, AT_FDCWD, log_path, O_WRONLY | O_CREAT | O_APPEND | O_CLOEXEC, 0600);
    if (log_fd < 0) abort();
}

static int is_ours(const char *path) {
    size_t len = strlen(path);
    return log_fd >= 0 && strncmp(path, directory, strlen(directory)) == 0 &&
           !(len > 4 && strcmp(path + len - 4, "-shm") == 0);
}

/* The path of an open file, if it is one of ours. */
static int path_of(int fd, char path[PATH_MAX]) {
    char link[64];
    if (log_fd < 0) return 0;
    snprintf(link, sizeof link, "/proc/self/fd/%d", fd);
    ssize_t len = readlink(link, path, PATH_MAX - 1);
    if (len < 0) return 0;
    path[len] = 0;
    return is_ours(path);
}

static void note(uint32_t kind, const char *path, uint64_t at, uint64_t size, const void *old, uint32_t old_len,
                 const void *new, uint32_t new_len) {
    struct record head = {kind, (uint32_t)strlen(path), at, size, old_len, new_len};
    size_t len = sizeof head + head.path_len + old_len + new_len;
    char *all = malloc(len), *end = all;
    if (!all) abort();
    end = mempcpy(end, &head, sizeof head);
    end = mempcpy(end, path, head.path_len);
    end = mempcpy(end, old, old_len);
    mempcpy(end, new, new_len);
    if (syscall(SYS_write, log_fd, all, len) != (ssize_t)len) abort();
    free(all);
}

/* Notes what a change of the bytes from `at` on does away with; `new` is NULL for a truncation. */
static void note_change(int fd, const char *path, uint64_t at, const void *new, size_t new_len) {
    struct stat stat;
    if (fstat(fd, &stat) != 0) abort();
    uint64_t size = stat.st_size, end = new ? at + new_len : size, old_len = 0;
    if (end > size) end = size;
    if (end > at) old_len = end - at;
    char *old = malloc(old_len + 1);
    if (!old || syscall(SYS_pread64, fd, old, old_len, at) != (ssize_t)old_len) abort();
    note(new ? WRITE : TRUNCATE, path, at, size, old, old_len, new ? new : "", new ? new_len : 0);
    free(old);
}


static ssize_t put(int fd, const void *bytes, size_t len, uint64_t at, int moves) {
    char path[PATH_MAX];
    if (!path_of(fd, path)) return moves ? syscall(SYS_write, fd, bytes, len) : syscall(SYS_pwrite64, fd, bytes, len, at);
    pthread_mutex_lock(&lock);
    if (moves) at = lseek(fd, 0, SEEK_CUR);
    note_change(fd, path, at, bytes, len);
    ssize_t written = moves ? syscall(SYS_write, fd, bytes, len) : syscall(SYS_pwrite64, fd, bytes, len, at);
    pthread_mutex_unlock(&lock);
    return written;
}

ssize_t write(int fd, const void *bytes, size_t len) { return put(fd, bytes, len, 0, 1); }
ssize_t pwrite(int fd, const void *bytes, size_t len, off_t at) { return put(fd, bytes, len, at, 0); }
ssize_t pwrite64(int fd, const void *bytes, size_t len, off64_t at) { return put(fd, bytes, len, at, 0); }

static int cut(int fd, uint64_t size) {
    char path[PATH_MAX];
    if (!path_of(fd, path)) return syscall(SYS_ftruncate, fd, size);
    pthread_mutex_lock(&lock);
    note_change(fd, path, size, NULL, 0);
    int result = syscall(SYS_ftruncate, fd, size);
    pthread_mutex_unlock(&lock);
    return result;
}

int ftruncate(int fd, off_t size) { return cut(fd, size); }
int ftruncate64(int fd, off64_t size) { return cut(fd, size); }

/* All that was noted before it began is synced when it ends, and nothing else is for sure: so nothing else may happen. */
static int sync_by(long call, int fd) {
    char path[PATH_MAX];
    if (!path_of(fd, path)) return syscall(call, fd);
    pthread_mutex_lock(&lock);
    int result = syscall(call, fd);
    if (result == 0) note(SYNC, path, 0, 0, "", 0, "", 0);
    pthread_mutex_unlock(&lock);
    return result;
}

int fsync(int fd) { return sync_by(SYS_fsync, fd); }
int fdatasync(int fd) { return sync_by(SYS_fdatasync, fd); }

static int open_at(int at, const char *path, int flags, mode_t mode) {
    int makes = (flags & O_CREAT) && is_ours(path) && access(path, F_OK) != 0;
    if (!makes) return syscall(SYS_openat, at, path, flags, mode);
    pthread_mutex_lock(&lock);
    note(CREATE, path, 0, 0, "", 0, "", 0);
    int fd = syscall(SYS_openat, at, path, flags, mode);
    pthread_mutex_unlock(&lock);
    return fd;
}

#define MODE(flags) ({ mode_t mode = 0; if ((flags) & (O_CREAT | __O_TMPFILE)) { va_list more; va_start(more, flags); \
                       mode = va_arg(more, mode_t); va_end(more); } mode; })

int open(const char *path, int flags, ...) { return open_at(AT_FDCWD, path, flags, MODE(flags)); }
int open64(const char *path, int flags, ...) { return open_at(AT_FDCWD, path, flags | O_LARGEFILE, MODE(flags)); }
int openat(int at, const char *path, int flags, ...) { return open_at(at, path, flags, MODE(flags)); }
int openat64(int at, const char *path, int flags, ...) { return open_at(at, path, flags | O_LARGEFILE, MODE(flags)); }

int unlink(const char *path) {
    if (!is_ours(path)) return syscall(SYS_unlink, path);
    char keep[PATH_MAX];
    pthread_mutex_lock(&lock);
    snprintf(keep, sizeof keep, "%s.%d.%u", log_path, (int)getpid(), kept++);
    if (syscall(SYS_link, path, keep) == 0) note(UNLINK, path, 0, 0, "", 0, keep, strlen(keep));
    int result = syscall(SYS_unlink, path);
    pthread_mutex_unlock(&lock);
    return result;
}
