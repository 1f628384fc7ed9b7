// A thin C interface over oneDNN, the same for its versions 2 and 3.
//
// It hides operation descriptors (version 2 only), memory descriptors (a struct in version 2,
// opaque in version 3), attributes and argument arrays. It leaves every decision about shapes,
// layouts, buffers and order to the caller.
//
// Errors: a function that returns a status as `int` returns 0 for success, otherwise oneDNN's
// status or -1. `convoy_dnnl_message()` then says what failed in this thread, until the next
// failure.
// Threading: everything that is created from one context belongs to one thread at a time. Call
// `convoy_dnnl_use_one_thread()` on a thread before it creates or runs anything.

#ifndef CONVOY_DNNL_H
#define CONVOY_DNNL_H

#include <stddef.h>
#include <stdint.h>

#ifdef __cplusplus
extern "C" {
#endif

#define CONVOY_DNNL_MAX_RANK 5

typedef struct convoy_dnnl_context convoy_dnnl_context;        // engine and stream
typedef struct convoy_dnnl_layout convoy_dnnl_layout;          // element type, shape and order
typedef struct convoy_dnnl_memory convoy_dnnl_memory;          // a layout over borrowed bytes
typedef struct convoy_dnnl_operation convoy_dnnl_operation;    // a primitive, ready to run
typedef struct convoy_dnnl_call convoy_dnnl_call;              // an operation with its arguments

typedef enum {
    convoy_dnnl_type_float32 = 0,
    convoy_dnnl_type_bfloat16 = 1,
} convoy_dnnl_type;

typedef enum {
    convoy_dnnl_order_any = 0,        // the operation chooses
    convoy_dnnl_order_row_major = 1,  // the last dimension is contiguous
    // Rank 4 only, [N, C, H, W]:
    convoy_dnnl_order_channels_last = 2,
    convoy_dnnl_order_blocked_4 = 3,
    convoy_dnnl_order_blocked_8 = 4,
    convoy_dnnl_order_blocked_16 = 5,
} convoy_dnnl_order;

typedef enum {
    convoy_dnnl_forward_training = 0,
    convoy_dnnl_forward_inference = 1,
    convoy_dnnl_backward_data = 2,
    convoy_dnnl_backward_weights = 3,
} convoy_dnnl_direction;

typedef enum {
    convoy_dnnl_argument_source = 0,       // forward and backward_weights; a reorder's input
    convoy_dnnl_argument_destination = 1,  // forward; a reorder's output
    convoy_dnnl_argument_weights = 2,
    convoy_dnnl_argument_bias = 3,
    convoy_dnnl_argument_source_gradient = 4,
    convoy_dnnl_argument_destination_gradient = 5,
    convoy_dnnl_argument_weights_gradient = 6,
    convoy_dnnl_argument_bias_gradient = 7,
    convoy_dnnl_argument_scratchpad = 8,
    convoy_dnnl_argument_count = 9,
} convoy_dnnl_argument;

/// The order of a layout's elements in memory, for the common orders of rank 2 and 4.
typedef struct {
    int rank;
    int64_t dimensions[CONVOY_DNNL_MAX_RANK];         // logical
    int64_t padded_dimensions[CONVOY_DNNL_MAX_RANK];  // as stored
    size_t byte_count;                                // 0: the operation does not use it
    /// The number of channels (dimension 1) that are adjacent in the innermost dimension. 1 means
    /// [N, C, H, W], C means [N, H, W, C], 8 or 16 means blocked [N, C/b, H, W, b], and 0 any other
    /// order.
    int64_t channel_block;
} convoy_dnnl_layout_info;

typedef struct {
    int64_t stride[2];          // height, width
    int64_t padding_before[2];  // top, left
    int64_t padding_after[2];   // bottom, right
} convoy_dnnl_window;

/// Returns the text of this thread's last failure.
const char *convoy_dnnl_message(void);

// Library -----------------------------------------------------------------------------------------

/// Writes the version of the oneDNN library that the process has loaded.
void convoy_dnnl_version(int *major, int *minor, int *patch);

/// Makes the calling thread run oneDNN's operations without the help of other threads. Fails when
/// the number of the library's threads cannot be limited.
int convoy_dnnl_use_one_thread(void);

/// Returns the most capable instruction set of this host that this version of oneDNN has a name
/// for, in lower-case letters; "default" on hosts other than x86-64. The function asks the
/// processor rather than oneDNN, because oneDNN refuses a cap once it has been asked.
const char *convoy_dnnl_host_instruction_set(void);

/// Returns oneDNN's name of the instruction set that it uses; "default" when that has no name. From
/// then on oneDNN refuses a cap.
const char *convoy_dnnl_effective_instruction_set(void);

/// Limits the process to an instruction set. Works once, and only before any operation is created.
int convoy_dnnl_set_maximum_instruction_set(const char *name);

/// Returns the bits of an instruction set. Code for set A runs on a host with set B when all bits
/// of A are in B. Returns 0 when this build does not know the name.
unsigned convoy_dnnl_instruction_set_bits(const char *name);

// Context -----------------------------------------------------------------------------------------

int convoy_dnnl_context_create(convoy_dnnl_context **context);
void convoy_dnnl_context_destroy(convoy_dnnl_context *context);

// Layouts -----------------------------------------------------------------------------------------

int convoy_dnnl_layout_create(convoy_dnnl_layout **layout, convoy_dnnl_type type, int rank,
                              const int64_t *dimensions, convoy_dnnl_order order);
void convoy_dnnl_layout_destroy(convoy_dnnl_layout *layout);
int convoy_dnnl_layout_equal(const convoy_dnnl_layout *a, const convoy_dnnl_layout *b);
void convoy_dnnl_layout_describe(const convoy_dnnl_layout *layout, convoy_dnnl_layout_info *info);

// Memories ----------------------------------------------------------------------------------------

/// Creates a memory over `bytes`, which remain the caller's. Padding in them must be zero before
/// the first use.
int convoy_dnnl_memory_create(convoy_dnnl_memory **memory, convoy_dnnl_context *context,
                              const convoy_dnnl_layout *layout, void *bytes);
/// Lets a memory refer to other bytes. Only for layouts without padding.
int convoy_dnnl_memory_set_bytes(convoy_dnnl_memory *memory, void *bytes);
void convoy_dnnl_memory_destroy(convoy_dnnl_memory *memory);

// Operations --------------------------------------------------------------------------------------

/// Creates a convolution (a cross-correlation, as in PyTorch). `source`, `weights`, `bias` and
/// `destination` stand for their gradients where the direction computes or takes these. `bias` may
/// be NULL. `forward` is the forward operation, which the backward directions need. `relu` fuses a
/// ReLU (forward only).
int convoy_dnnl_convolution_create(convoy_dnnl_operation **operation, convoy_dnnl_context *context,
                                   convoy_dnnl_direction direction,
                                   const convoy_dnnl_layout *source,
                                   const convoy_dnnl_layout *weights,
                                   const convoy_dnnl_layout *bias,
                                   const convoy_dnnl_layout *destination,
                                   const convoy_dnnl_window *window, int relu,
                                   const convoy_dnnl_operation *forward);

/// Creates an inner product, y = x Wᵀ + b. The arguments are those of the convolution.
int convoy_dnnl_inner_product_create(convoy_dnnl_operation **operation,
                                     convoy_dnnl_context *context,
                                     convoy_dnnl_direction direction,
                                     const convoy_dnnl_layout *source,
                                     const convoy_dnnl_layout *weights,
                                     const convoy_dnnl_layout *bias,
                                     const convoy_dnnl_layout *destination, int relu,
                                     const convoy_dnnl_operation *forward);

int convoy_dnnl_reorder_create(convoy_dnnl_operation **operation, convoy_dnnl_context *context,
                               const convoy_dnnl_layout *source,
                               const convoy_dnnl_layout *destination);

void convoy_dnnl_operation_destroy(convoy_dnnl_operation *operation);

/// Creates the layout that an operation expects for an argument. The caller destroys it.
int convoy_dnnl_operation_layout(const convoy_dnnl_operation *operation,
                                 convoy_dnnl_argument argument, convoy_dnnl_layout **layout);

/// Returns oneDNN's name of the chosen kernel, such as "jit:avx512_core". The text is valid as long
/// as the operation exists.
const char *convoy_dnnl_operation_implementation(const convoy_dnnl_operation *operation);

// Calls -------------------------------------------------------------------------------------------

int convoy_dnnl_call_create(convoy_dnnl_call **call, const convoy_dnnl_operation *operation);
void convoy_dnnl_call_bind(convoy_dnnl_call *call, convoy_dnnl_argument argument,
                           const convoy_dnnl_memory *memory);
/// Runs a call and waits for its end. The shim allocates nothing; oneDNN itself allocates a small
/// table of the arguments.
int convoy_dnnl_call_run(const convoy_dnnl_call *call, convoy_dnnl_context *context);
void convoy_dnnl_call_destroy(convoy_dnnl_call *call);

#ifdef __cplusplus
}
#endif

#endif
