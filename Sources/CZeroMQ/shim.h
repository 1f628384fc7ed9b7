// What the ZeroMQ module needs of C: libzmq's public header, Linux's eventfd and the kernel's
// thread number, which the C library's Swift overlay leaves out.
#ifndef CONVOY_CZEROMQ_SHIM_H
#define CONVOY_CZEROMQ_SHIM_H

#include <sys/eventfd.h>
#include <sys/syscall.h>
#include <unistd.h>
#include <zmq.h>

/// The kernel's number of the calling thread, as `top -H` and `gdb` show it.
static inline long convoy_kernel_thread_number(void) { return syscall(SYS_gettid); }

#endif
