// Linux calls that the Glibc module does not map.
#ifndef CONVOY_LINUX_SHIM_H
#define CONVOY_LINUX_SHIM_H

#include <sys/eventfd.h>
#include <sys/signalfd.h>

#endif
