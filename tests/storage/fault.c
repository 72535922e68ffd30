/* Faults of a disk, preloaded into the proxy (ld.so(8)): while the file $FAULT_FILE says so, calls on
 * files below $FAULT_DIR fail or dawdle.
 *
 *   slow       fsync takes half a second
 *   full       writes fail with ENOSPC
 *   read-only  writes fail with EROFS
 *   broken     writes fail with EIO
 */
#define _GNU_SOURCE
#include <dlfcn.h>
#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/syscall.h>
#include <sys/types.h>
#include <time.h>
#include <unistd.h>
#include <fcntl.h>

/* The word in $FAULT_FILE if the descriptor is of a file below $FAULT_DIR, else an empty one. */
static void fault(int fd, char word[16]) {
    char link[64], path[4096];
    const char *dir = getenv("FAULT_DIR"), *file = getenv("FAULT_FILE");
    int error = errno;
    word[0] = 0;
    if (!dir || !file) return;
    int source = syscall(SYS_openat, AT_FDCWD, file, O_RDONLY | O_CLOEXEC);
    if (source < 0) {
        errno = error;
        return;
    }
    ssize_t length = syscall(SYS_read, source, word, 15);
    word[length > 0 ? length : 0] = 0;
    syscall(SYS_close, source);
    snprintf(link, sizeof link, "/proc/self/fd/%d", fd);
    length = readlink(link, path, sizeof path - 1);
    path[length > 0 ? length : 0] = 0;
    if (strncmp(path, dir, strlen(dir))) word[0] = 0;
    errno = error;
}

/* Whether a write is to fail; sets errno. */
static int fails(int fd) {
    char word[16];
    fault(fd, word);
    if (!strcmp(word, "full")) errno = ENOSPC;
    else if (!strcmp(word, "read-only")) errno = EROFS;
    else if (!strcmp(word, "broken")) errno = EIO;
    else return 0;
    return 1;
}

static void dawdle(int fd) {
    char word[16];
    fault(fd, word);
    if (!strcmp(word, "slow")) {
        struct timespec half = {0, 500000000};
        nanosleep(&half, NULL);
    }
}

#define NEXT(name) \
    static __typeof__(&name) next; \
    if (!next) next = (__typeof__(&name))dlsym(RTLD_NEXT, #name)

ssize_t pwrite(int fd, const void *octets, size_t count, off_t at) {
    NEXT(pwrite);
    return fails(fd) ? -1 : next(fd, octets, count, at);
}

ssize_t pwrite64(int fd, const void *octets, size_t count, off64_t at) {
    NEXT(pwrite64);
    return fails(fd) ? -1 : next(fd, octets, count, at);
}

int ftruncate(int fd, off_t length) {
    NEXT(ftruncate);
    return fails(fd) ? -1 : next(fd, length);
}

int ftruncate64(int fd, off64_t length) {
    NEXT(ftruncate64);
    return fails(fd) ? -1 : next(fd, length);
}

int fsync(int fd) {
    NEXT(fsync);
    dawdle(fd);
    return next(fd);
}

int fdatasync(int fd) {
    NEXT(fdatasync);
    dawdle(fd);
    return next(fd);
}
