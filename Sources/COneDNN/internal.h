// Declarations that the shim's files share.

#ifndef CONVOY_DNNL_INTERNAL_H
#define CONVOY_DNNL_INTERNAL_H

#include <oneapi/dnnl/dnnl.h>

#include "include/convoy_dnnl.h"

#define CONVOY_DNNL_V3 (DNNL_VERSION_MAJOR >= 3)

#if CONVOY_DNNL_V3
typedef const_dnnl_memory_desc_t convoy_descriptor;
#else
typedef const dnnl_memory_desc_t *convoy_descriptor;
#endif

struct convoy_dnnl_context {
    dnnl_engine_t engine;
    dnnl_stream_t stream;
};

struct convoy_dnnl_layout {
    dnnl_memory_desc_t descriptor;  // version 2: the struct itself; version 3: an owned handle
};

struct convoy_dnnl_memory {
    dnnl_memory_t memory;
};

struct convoy_dnnl_operation {
    dnnl_primitive_desc_t descriptor;
    dnnl_primitive_t primitive;
    int is_reorder;
};

struct convoy_dnnl_call {
    dnnl_primitive_t primitive;
    int is_reorder;
    int argument_count;
    dnnl_exec_arg_t arguments[convoy_dnnl_argument_count];
};

/// Returns the descriptor in the form that the functions of this version of oneDNN take.
static inline convoy_descriptor convoy_get_descriptor(const convoy_dnnl_layout *layout) {
    if (!layout) return NULL;
#if CONVOY_DNNL_V3
    return layout->descriptor;
#else
    return &layout->descriptor;
#endif
}

/// Stores the text of a failure for `convoy_dnnl_message` and returns its status, or -1 when that
/// is 0.
int convoy_dnnl_fail(int status, const char *format, ...) __attribute__((format(printf, 2, 3)));

/// Returns 0 for success. Otherwise stores that `what` failed with oneDNN's status and returns that
/// status.
int convoy_dnnl_check(dnnl_status_t status, const char *what);

/// Creates a layout that holds a copy of a descriptor.
int convoy_dnnl_layout_copy(convoy_dnnl_layout **layout, convoy_descriptor descriptor);

#endif
