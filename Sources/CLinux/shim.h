// Linux calls that the Glibc module does not map.
#ifndef CONVOY_LINUX_SHIM_H
#define CONVOY_LINUX_SHIM_H

#include <fcntl.h>
#include <stdint.h>
#include <sys/eventfd.h>
#include <sys/mman.h>
#include <sys/signalfd.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <unistd.h>

// Exchanges two names of one file system at once; -1 and errno where it cannot.
static inline int convoy_exchange(const char *first, const char *second) {
    const int workingDirectory = -100; // AT_FDCWD
    const unsigned int exchange = 2;   // RENAME_EXCHANGE
    return (int)syscall(SYS_renameat2, workingDirectory, first, workingDirectory, second, exchange);
}

// Memory without a name that other processes of this user on this host may map, all of it backed by pages, and
// sealed: it never shrinks below `byteCount`, so that reading it through a mapping cannot fault.
// A descriptor, or -1 and errno.
static inline int convoy_shared_memory(const char *label, long byteCount) {
    const unsigned int closeOnExec = 1, allowSealing = 2; // MFD_CLOEXEC, MFD_ALLOW_SEALING
    const int descriptor = (int)syscall(SYS_memfd_create, label, closeOnExec | allowSealing);
    if (descriptor < 0) return -1;
    const int addSeals = 1033, seal = 1, shrink = 2, grow = 4; // F_ADD_SEALS and F_SEAL_...
    // The kernel's mode for it is 0777.
    if (fchmod(descriptor, 0600) == 0 && ftruncate(descriptor, byteCount) == 0 &&
        posix_fallocate(descriptor, 0, byteCount) == 0 &&
        fcntl(descriptor, addSeals, seal | shrink | grow) == 0)
        return descriptor;
    close(descriptor);
    return -1;
}

// Whether a descriptor is memory that was made by `convoy_shared_memory`, or as safe.
static inline int convoy_is_sealed(int descriptor) {
    const int getSeals = 1034, shrink = 2;
    const int seals = fcntl(descriptor, getSeals);
    return seals >= 0 && (seals & shrink) != 0;
}

// A pipe, `ends[0]` to read and `ends[1]` to write; neither blocks, and children do not get them. 0, or
// -1 and errno.
static inline int convoy_pipe(int ends[2]) {
    return (int)syscall(SYS_pipe2, ends, O_NONBLOCK | O_CLOEXEC);
}

// Cores that the calling thread may run on, a bit each in words of 64; how many bytes the kernel wrote,
// or -1 and errno.
static inline int convoy_get_cores(uint64_t *words, int byteCount) {
    return (int)syscall(SYS_sched_getaffinity, 0, byteCount, words);
}

// Lets the calling thread, and those that it starts from now on, run on these cores alone. 0, or -1 and
// errno.
static inline int convoy_set_cores(const uint64_t *words, int byteCount) {
    return (int)syscall(SYS_sched_setaffinity, 0, byteCount, words);
}

// How long the calling thread, an ordinary one, means to run once it is woken. A kernel from 6.12 on
// lets whoever means to run shortly interrupt those who do not; others know nothing of it. 0 is the
// system's own length; 0 or -1 and errno.
static inline int convoy_set_slice(uint64_t nanoseconds) {
    struct {
        uint32_t size, policy;
        uint64_t flags;
        int32_t nice;
        uint32_t priority;
        uint64_t runtime, deadline, period;
    } attributes = {0};
    const uint32_t byteCount = 48; // SCHED_ATTR_SIZE_VER0
    if (syscall(SYS_sched_getattr, 0, &attributes, byteCount, 0) != 0) return -1;
    if (attributes.policy != 0) return 0; // SCHED_OTHER
    attributes.size = byteCount;
    attributes.runtime = nanoseconds;
    attributes.deadline = 0;
    attributes.period = 0;
    return (int)syscall(SYS_sched_setattr, 0, &attributes, 0);
}

// Says that what follows is about to be written anew; later writes stay behind it.
static inline void convoy_sequence_advance(uint64_t *sequence) {
    __atomic_store_n(sequence, __atomic_load_n(sequence, __ATOMIC_RELAXED) + 1, __ATOMIC_RELAXED);
    __atomic_thread_fence(__ATOMIC_SEQ_CST);
}

// The number of the present content; reads before it stay before it.
static inline uint64_t convoy_sequence(const uint64_t *sequence) {
    __atomic_thread_fence(__ATOMIC_ACQUIRE);
    return __atomic_load_n(sequence, __ATOMIC_ACQUIRE);
}

#endif
