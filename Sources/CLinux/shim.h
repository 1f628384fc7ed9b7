// Linux calls that the Glibc module does not map.
#ifndef CONVOY_LINUX_SHIM_H
#define CONVOY_LINUX_SHIM_H

#include <sys/eventfd.h>
#include <sys/signalfd.h>
#include <sys/syscall.h>
#include <unistd.h>

// Exchanges two names of one file system at once; -1 and errno where it cannot.
static inline int convoy_exchange(const char *first, const char *second) {
    const int workingDirectory = -100; // AT_FDCWD
    const unsigned int exchange = 2;   // RENAME_EXCHANGE
    return (int)syscall(SYS_renameat2, workingDirectory, first, workingDirectory, second, exchange);
}

#endif
