// The C declarations that the ZeroMQ module needs: libzmq's public header, Linux's eventfd and the
// kernel's thread number. The Swift overlay of the C library does not have the last two.
#ifndef CONVOY_CZEROMQ_SHIM_H
#define CONVOY_CZEROMQ_SHIM_H

#include <sys/eventfd.h>
#include <sys/syscall.h>
#include <unistd.h>
#include <zmq.h>

/// Returns the kernel's number of the calling thread, as `top -H` and `gdb` show it.
static inline long convoy_kernel_thread_number(void) { return syscall(SYS_gettid); }

#endif
