/// Elementwise loops and reductions whose bits must not depend on the host.
///
/// Determinism: compiled without contraction, built from IEEE operations that are correctly rounded
/// everywhere (+ - * / sqrt), in an order the source fixes; the dispatch at load time to wider
/// vectors therefore changes the speed and nothing else. Threading: pure functions of their
/// arguments.
#ifndef CONVOY_KERNELS_H
#define CONVOY_KERNELS_H

#include <stddef.h>
#include <stdint.h>

#ifdef __cplusplus
extern "C" {
#endif

/// out[i] = a[i] + b[i]. `out` may be `a` or `b`; partial overlap is not allowed.
void convoy_add(float *out, const float *a, const float *b, ptrdiff_t count);

// bfloat16: the upper half of a float's bits, two bytes in the host's order. Rounding is to
// nearest, ties to even; what is beyond the largest becomes an infinity, infinities stay, denormals
// are rounded like any other number, and every NaN becomes 0x7FC0, so that a sum has the same bits
// whichever of two NaNs a processor keeps. Addresses need no alignment.

/// Rounds `count` floats to bfloat16. `out` may be `in`; other overlap is not allowed.
void convoy_bf16_pack(void *out, const void *in, ptrdiff_t count);

/// The floats that `count` bfloat16 numbers are, exactly. No overlap is allowed.
void convoy_bf16_unpack(float *out, const void *in, ptrdiff_t count);

/// Floats rounded to what bfloat16 can say. `out` may be `in`; partial overlap is not allowed.
void convoy_bf16_round(float *out, const float *in, ptrdiff_t count);

/// out[i] = a[i] + b[i], added as floats and rounded once more, all three bfloat16.
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

/// One SGD step. `momentum_buffer` may be NULL exactly when momentum is 0.
/// `new_weights` may be `weights`; other overlap is not allowed.
void convoy_sgd(float *new_weights, const float *weights, const float *gradient_sum,
                float *momentum_buffer, ptrdiff_t count, const convoy_sgd_step *step);

/// The numbers of one Adam or AdamW step; bias corrections are worked out by the caller in double.
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

/// One Adam step. `new_weights` may be `weights`; other overlap is not allowed.
void convoy_adam(float *new_weights, const float *weights, const float *gradient_sum,
                 float *first_moment, float *second_moment, ptrdiff_t count,
                 const convoy_adam_step *step);

/// e^x within about 1e-15 of the truth, relatively; 0 below -708, infinity above 709, NaN for NaN.
double convoy_exp(double x);

/// The natural logarithm of a positive, finite, normal x, within about 1e-15; otherwise NaN.
double convoy_log(double x);

/// Softmax cross-entropy of `count` samples.
///
/// Shapes: logits and gradient [count, class_count] row-major, labels [count] in 0..<class_count.
/// Per sample, in order: *loss_sum += log(sum exp(z - max)) - (z[label] - max), in double, and
/// *correct_count += 1 when the first largest logit is the label's.
/// gradient = softmax - onehot (for the sum of the losses); it may be NULL, or `logits` itself.
void convoy_softmax_cross_entropy(const float *logits, const int32_t *labels, ptrdiff_t count,
                                  ptrdiff_t class_count, float *gradient, double *loss_sum,
                                  int64_t *correct_count);

#ifdef __cplusplus
}
#endif
#endif
