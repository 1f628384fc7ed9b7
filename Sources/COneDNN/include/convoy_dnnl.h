// A thin C interface over oneDNN, the same for its versions 2 and 3.
//
// What it hides: operation descriptors (version 2 only), memory descriptors (a struct in version 2,
// opaque in version 3), attributes and argument arrays. What it leaves to the caller: every
// decision about shapes, layouts, buffers and order.
//
// Errors: a function that returns `int` returns 0 when it worked, otherwise oneDNN's status (or
// -1); `convoy_dnnl_message()` then says what failed, per thread, until the next failure.
// Threading: everything made from one context belongs to one thread at a time. Call
// `convoy_dnnl_use_one_thread()` on a thread before it makes or runs anything.

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

/// How a layout of rank 2 or 4 lies in memory, where it is one of the simple ways.
typedef struct {
    int rank;
    int64_t dimensions[CONVOY_DNNL_MAX_RANK];         // logical
    int64_t padded_dimensions[CONVOY_DNNL_MAX_RANK];  // as stored
    size_t byte_count;                                // 0: the operation does not use it
    /// Channels (dimension 1) that lie side by side innermost: 1 = [N, C, H, W], C = [N, H, W, C],
    /// 8 or 16 = blocked [N, C/b, H, W, b]; 0 = none of these.
    int64_t channel_block;
} convoy_dnnl_layout_info;

typedef struct {
    int64_t stride[2];          // height, width
    int64_t padding_before[2];  // top, left
    int64_t padding_after[2];   // bottom, right
} convoy_dnnl_window;

/// Text of this thread's last failure.
const char *convoy_dnnl_message(void);

// Library -----------------------------------------------------------------------------------------

/// oneDNN's version at run time.
void convoy_dnnl_version(int *major, int *minor, int *patch);

/// Makes the calling thread run oneDNN's operations by itself. Fails when the library's threads
/// cannot be held back.
int convoy_dnnl_use_one_thread(void);

/// The most capable instruction set of this host that this version of oneDNN has a name for, in its
/// lower-case words; "default" on hosts other than x86-64. Asks the processor, not oneDNN, because
/// oneDNN refuses a cap once it has been asked.
const char *convoy_dnnl_host_instruction_set(void);

/// oneDNN's name of the instruction set it uses; "default" when it names none. From then on
/// oneDNN refuses a cap.
const char *convoy_dnnl_effective_instruction_set(void);

/// Caps the instruction set of the process. Works once, and only before any operation was made.
int convoy_dnnl_set_maximum_instruction_set(const char *name);

/// Bits of an instruction set's name: set A can run on B when A's bits are all in B's.
/// 0 when this build does not know the name.
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

/// The bytes stay the caller's; padding in them must be zero before the first use.
int convoy_dnnl_memory_create(convoy_dnnl_memory **memory, convoy_dnnl_context *context,
                              const convoy_dnnl_layout *layout, void *bytes);
/// Only for layouts without padding.
int convoy_dnnl_memory_set_bytes(convoy_dnnl_memory *memory, void *bytes);
void convoy_dnnl_memory_destroy(convoy_dnnl_memory *memory);

// Operations --------------------------------------------------------------------------------------

/// Convolution, cross-correlation as in PyTorch. `source`, `weights`, `bias` and `destination`
/// stand for their gradients where the direction computes or takes these. `bias` may be NULL.
/// `forward` is the forward operation, needed by the backward directions. `relu` fuses a ReLU
/// (forward only).
int convoy_dnnl_convolution_create(convoy_dnnl_operation **operation, convoy_dnnl_context *context,
                                   convoy_dnnl_direction direction,
                                   const convoy_dnnl_layout *source,
                                   const convoy_dnnl_layout *weights,
                                   const convoy_dnnl_layout *bias,
                                   const convoy_dnnl_layout *destination,
                                   const convoy_dnnl_window *window, int relu,
                                   const convoy_dnnl_operation *forward);

/// Inner product, y = x Wᵀ + b; arguments as for the convolution.
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

/// The layout an operation wants for an argument. A new value, the caller destroys it.
int convoy_dnnl_operation_layout(const convoy_dnnl_operation *operation,
                                 convoy_dnnl_argument argument, convoy_dnnl_layout **layout);

/// oneDNN's name of the kernel chosen, such as "jit:avx512_core"; lives as long as the operation.
const char *convoy_dnnl_operation_implementation(const convoy_dnnl_operation *operation);

// Calls -------------------------------------------------------------------------------------------

int convoy_dnnl_call_create(convoy_dnnl_call **call, const convoy_dnnl_operation *operation);
void convoy_dnnl_call_bind(convoy_dnnl_call *call, convoy_dnnl_argument argument,
                           const convoy_dnnl_memory *memory);
/// Runs and waits. The shim allocates nothing (oneDNN itself makes a small table of the arguments).
int convoy_dnnl_call_run(const convoy_dnnl_call *call, convoy_dnnl_context *context);
void convoy_dnnl_call_destroy(convoy_dnnl_call *call);

#ifdef __cplusplus
}
#endif

#endif
