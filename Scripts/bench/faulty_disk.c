// Stands between a program and a directory, whose disk it lets hang or fill up.
//
//   clang -shared -fPIC -O1 -o faulty_disk.so Scripts/bench/faulty_disk.c -ldl
//   FAULTY_DISK=/absolute/run/directory FAULTY_DISK_STATE=/elsewhere/state LD_PRELOAD=faulty_disk.so ...
//
// While the file FAULTY_DISK_STATE.block is there, every call that writes below the directory, or
// looks up a name there, waits. While FAULTY_DISK_STATE.full is there, calls that write fail with
// ENOSPC. Tests and Scripts/chaos.sh use it.
#define _GNU_SOURCE
#include <dlfcn.h>
#include <errno.h>
#include <fcntl.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <sys/types.h>
#include <time.h>
#include <unistd.h>

static const char *below(void) {
    static const char *directory;
    if (!directory) directory = getenv("FAULTY_DISK");
    return directory ? directory : "";
}

static int is_in_state(const char *name) {
    char path[4096];
    const char *state = getenv("FAULTY_DISK_STATE");
    if (!state) return 0;
    snprintf(path, sizeof path, "%s.%s", state, name);
    return syscall(SYS_faccessat, AT_FDCWD, path, F_OK) == 0;
}

static int is_path_below(const char *path) {
    size_t length = strlen(below());
    return length > 0 && strncmp(path, below(), length) == 0;
}

static int is_file_below(int descriptor) {
    char link[64], path[4096];
    snprintf(link, sizeof link, "/proc/self/fd/%d", descriptor);
    ssize_t length = readlink(link, path, sizeof path - 1);
    if (length < 0) return 0;
    path[length] = 0;
    return is_path_below(path);
}

static void wait_while_blocked(void) {
    const struct timespec pause = {0, 5000000};
    while (is_in_state("block")) nanosleep(&pause, NULL);
}

// Whether the call is to fail, after it has waited for as long as the disk hangs.
static int is_refused(int is_below, int writes) {
    if (!is_below) return 0;
    wait_while_blocked();
    if (!writes || !is_in_state("full")) return 0;
    errno = ENOSPC;
    return 1;
}

#define REAL(name) ((__typeof__(&name))real(#name))
static void *real(const char *name) { return dlsym(RTLD_NEXT, name); }

ssize_t write(int descriptor, const void *bytes, size_t count) {
    if (is_refused(is_file_below(descriptor), 1)) return -1;
    return REAL(write)(descriptor, bytes, count);
}

ssize_t pwrite(int descriptor, const void *bytes, size_t count, off_t offset) {
    if (is_refused(is_file_below(descriptor), 1)) return -1;
    return REAL(pwrite)(descriptor, bytes, count, offset);
}

int fsync(int descriptor) {
    if (is_refused(is_file_below(descriptor), 1)) return -1;
    return REAL(fsync)(descriptor);
}

int rename(const char *source, const char *target) {
    if (is_refused(is_path_below(target), 0)) return -1;
    return REAL(rename)(source, target);
}

int mkdir(const char *path, mode_t mode) {
    if (is_refused(is_path_below(path), 1)) return -1;
    return REAL(mkdir)(path, mode);
}

int unlink(const char *path) {
    if (is_refused(is_path_below(path), 0)) return -1;
    return REAL(unlink)(path);
}

int stat(const char *path, struct stat *status) {
    if (is_refused(is_path_below(path), 0)) return -1;
    return REAL(stat)(path, status);
}

static int open_checked(const char *path, int flags, mode_t mode) {
    if (is_refused(is_path_below(path), (flags & O_CREAT) != 0)) return -1;
    return syscall(SYS_openat, AT_FDCWD, path, flags, mode);
}

int open(const char *path, int flags, ...) {
    va_list rest;
    va_start(rest, flags);
    mode_t mode = flags & O_CREAT ? va_arg(rest, mode_t) : 0;
    va_end(rest);
    return open_checked(path, flags, mode);
}

int open64(const char *path, int flags, ...) {
    va_list rest;
    va_start(rest, flags);
    mode_t mode = flags & O_CREAT ? va_arg(rest, mode_t) : 0;
    va_end(rest);
    return open_checked(path, flags | O_LARGEFILE, mode);
}
