// Linux calls that the Glibc module does not map.
#ifndef CONVOY_LINUX_SHIM_H
#define CONVOY_LINUX_SHIM_H

#include <fcntl.h>
#include <malloc.h>
#include <stdint.h>
#include <sys/eventfd.h>
#include <sys/mman.h>
#include <sys/signalfd.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <unistd.h>

// Returns the bytes that this process has allocated from the heap and not freed.
static inline long convoy_allocated_byte_count(void) {
    const struct mallinfo2 info = mallinfo2();
    return (long)(info.uordblks + info.hblkhd);
}

// Exchanges the names of two files or directories of one file system in one step. Returns 0, or -1
// and errno where the file system cannot do that.
static inline int convoy_exchange(const char *first, const char *second) {
    const int workingDirectory = -100; // AT_FDCWD
    const unsigned int exchange = 2;   // RENAME_EXCHANGE
    return (int)syscall(SYS_renameat2, workingDirectory, first, workingDirectory, second, exchange);
}

// Creates memory without a name that other processes of this user on this host may map. All of it
// is backed by pages, and it is sealed: it never shrinks below `byteCount`, so that reading it
// through a mapping cannot fault. Returns a descriptor, or -1 and errno.
static inline int convoy_shared_memory(const char *label, long byteCount) {
    const unsigned int closeOnExec = 1, allowSealing = 2; // MFD_CLOEXEC, MFD_ALLOW_SEALING
    const int descriptor = (int)syscall(SYS_memfd_create, label, closeOnExec | allowSealing);
    if (descriptor < 0) return -1;
    const int addSeals = 1033, seal = 1, shrink = 2, grow = 4; // F_ADD_SEALS and F_SEAL_...
    // The kernel creates it with the mode 0777.
    if (fchmod(descriptor, 0600) == 0 && ftruncate(descriptor, byteCount) == 0 &&
        posix_fallocate(descriptor, 0, byteCount) == 0 &&
        fcntl(descriptor, addSeals, seal | shrink | grow) == 0)
        return descriptor;
    close(descriptor);
    return -1;
}

// Returns 1 when a descriptor is memory of `convoy_shared_memory`, or other memory that can never
// shrink; otherwise 0.
static inline int convoy_is_sealed(int descriptor) {
    const int getSeals = 1034, shrink = 2;
    const int seals = fcntl(descriptor, getSeals);
    return seals >= 0 && (seals & shrink) != 0;
}

// Creates a pipe: `ends[0]` is to read from and `ends[1]` to write to. Neither end blocks, and
// programs that this process starts do not get them. Returns 0, or -1 and errno.
static inline int convoy_pipe(int ends[2]) {
    return (int)syscall(SYS_pipe2, ends, O_NONBLOCK | O_CLOEXEC);
}

// Writes the cores that the calling thread may run on, one bit a core in words of 64 bits. Returns
// the number of bytes that the kernel wrote, or -1 and errno.
static inline int convoy_get_cores(uint64_t *words, int byteCount) {
    return (int)syscall(SYS_sched_getaffinity, 0, byteCount, words);
}

// Restricts the calling thread, and the threads that it starts from now on, to these cores. Returns
// 0, or -1 and errno.
static inline int convoy_set_cores(const uint64_t *words, int byteCount) {
    return (int)syscall(SYS_sched_setaffinity, 0, byteCount, words);
}

// Tells the scheduler how long the calling thread wants to run each time that it is woken; 0 stands
// for the system's own length. Linux 6.12 and later let a thread with a short slice interrupt
// threads with longer ones; older kernels ignore the value. Threads of a policy other than
// SCHED_OTHER are left as they are. Returns 0, or -1 and errno.
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

// Advances the number of a content that is about to be written anew. Later writes stay behind it.
// Only one thread at a time may advance a number.
static inline void convoy_sequence_advance(uint64_t *sequence) {
    __atomic_store_n(sequence, __atomic_load_n(sequence, __ATOMIC_RELAXED) + 1, __ATOMIC_RELAXED);
    __atomic_thread_fence(__ATOMIC_SEQ_CST);
}

// Returns the number of the present content. Earlier reads stay before it.
static inline uint64_t convoy_sequence(const uint64_t *sequence) {
    __atomic_thread_fence(__ATOMIC_ACQUIRE);
    return __atomic_load_n(sequence, __ATOMIC_ACQUIRE);
}

#endif
