/// Elementwise loops and reductions whose bits must not depend on the host.
///
/// Determinism: the code is compiled without contraction and consists of IEEE operations that are
/// correctly rounded everywhere (+ - * / sqrt), in an order that the source fixes. So wider
/// vectors, which are selected at load time, change only the speed. Threading: every function is a
/// pure function of its arguments.
#ifndef CONVOY_KERNELS_H
#define CONVOY_KERNELS_H

#include <stddef.h>
#include <stdint.h>

#ifdef __cplusplus
extern "C" {
#endif

/// Computes out[i] = a[i] + b[i]. `out` may be `a` or `b`; partial overlap is not allowed.
void convoy_add(float *out, const float *a, const float *b, ptrdiff_t count);

/// Computes out[i] = in[i] * factor. `out` may be `in`; partial overlap is not allowed.
void convoy_scale_all(float *out, const float *in, float factor, ptrdiff_t count);

/// Adds the squares of `count` floats to eight sums. Element i is added to sum i mod 8, each
/// sum in ascending order. The square of a float is exact in double.
void convoy_add_squares(double sums[8], const float *values, ptrdiff_t count);

// bfloat16 is the upper half of a float's bits: two bytes in the host's order. Rounding is to
// nearest, ties to even. A number beyond the largest becomes an infinity, infinities stay, and
// denormals are rounded like any other number. Every NaN becomes 0x7FC0, so that a sum has the same
// bits whichever of two NaNs a processor keeps. Addresses need no alignment.

/// Rounds `count` floats to bfloat16. `out` may be `in`; other overlap is not allowed.
void convoy_bf16_pack(void *out, const void *in, ptrdiff_t count);

/// Converts `count` bfloat16 numbers to floats, exactly. No overlap is allowed.
void convoy_bf16_unpack(float *out, const void *in, ptrdiff_t count);

/// Rounds `count` floats to the floats that bfloat16 can represent. `out` may be `in`; partial
/// overlap is not allowed.
void convoy_bf16_round(float *out, const float *in, ptrdiff_t count);

/// Computes out[i] = a[i] + b[i] in bfloat16: the sum is computed in float and rounded once more.
/// `out` may be `a` or `b`; partial overlap is not allowed.
void convoy_bf16_add(void *out, const void *a, const void *b, ptrdiff_t count);

/// The numbers of one SGD step (PyTorch's torch.optim.SGD, dampening 0).
typedef struct {
    float sample_count;   ///< gradient = gradient_sum / sample_count
    float learning_rate;
    float momentum;
    float weight_decay;
    int nesterov;         ///< 0 or 1
} convoy_sgd_step;

/// Computes one SGD step for `count` elements. `momentum_buffer` may be NULL exactly when momentum
/// is 0. `new_weights` may be `weights`; other overlap is not allowed.
void convoy_sgd(float *new_weights, const float *weights, const float *gradient_sum,
                float *momentum_buffer, ptrdiff_t count, const convoy_sgd_step *step);

/// The numbers of one Adam or AdamW step. The caller computes the bias corrections in double.
typedef struct {
    float sample_count;        ///< gradient = gradient_sum / sample_count
    float step_size;           ///< learning rate / (1 - beta1^t)
    float beta1;
    float one_minus_beta1;
    float beta2;
    float one_minus_beta2;
    float root_correction2;    ///< sqrt(1 - beta2^t)
    float epsilon;
    float weight_decay;        ///< added to the gradient, times the weight (Adam; 0 for AdamW)
    float weight_factor;       ///< multiplies the weight first (AdamW: 1 - rate * decay)
} convoy_adam_step;

/// Computes one Adam or AdamW step for `count` elements. `new_weights` may be `weights`; other
/// overlap is not allowed.
void convoy_adam(float *new_weights, const float *weights, const float *gradient_sum,
                 float *first_moment, float *second_moment, ptrdiff_t count,
                 const convoy_adam_step *step);

/// Returns e^x with a relative error of about 1e-15: 0 below -708, infinity above 709, NaN for NaN.
double convoy_exp(double x);

/// Returns the natural logarithm of a positive, finite, normal x with an error of about 1e-15; NaN
/// for any other x.
double convoy_log(double x);

/// Computes the softmax cross-entropy of `count` records.
///
/// Shapes: logits and gradient [count, class_count] row-major, labels [count] in 0..<class_count.
/// For each record, in order: *loss_sum += log(sum exp(z - max)) - (z[label] - max), in double, and
/// *correct_count += 1 when the first largest logit is that of the label.
/// gradient = softmax - onehot (for the sum of the losses); it may be NULL, or `logits` itself.
void convoy_softmax_cross_entropy(const float *logits, const int32_t *labels, ptrdiff_t count,
                                  ptrdiff_t class_count, float *gradient, double *loss_sum,
                                  int64_t *correct_count);

/// Asks the system for huge pages where they fit wholly into this memory, which nothing has been
/// written to yet. Does nothing on systems without them.
void convoy_use_huge_pages(void *memory, ptrdiff_t byte_count);

#ifdef __cplusplus
}
#endif
#endif
