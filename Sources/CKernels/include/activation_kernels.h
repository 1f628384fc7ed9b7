/// Pooling, ReLU and dropout on activations, in the layouts that convolutions use.
///
/// Layout: [N, C/b, H, W, b] for a channel block b. This covers [N, C, H, W] (b = 1), blocked
/// layouts (b = 8, 16) and [N, H, W, C] (b = C). Elements are float; in the functions whose names
/// end in _bf16 they are bfloat16 (the upper half of a float, rounded to nearest even).
/// Determinism: each element is a comparison, a product, or a sum in an order that the source
/// fixes. So wider vectors change only the speed. Threading: every function is a pure function of
/// its arguments.
#ifndef CONVOY_ACTIVATION_KERNELS_H
#define CONVOY_ACTIVATION_KERNELS_H

#include <stddef.h>
#include <stdint.h>

#ifdef __cplusplus
extern "C" {
#endif

/// The shapes of a max-pool over planes of [H, W, b].
typedef struct {
    ptrdiff_t plane_count;  ///< N * C/b
    ptrdiff_t block;        ///< b
    ptrdiff_t input_height, input_width;
    ptrdiff_t output_height, output_width;
    ptrdiff_t window_height, window_width;  ///< at most 65,534 elements together
    ptrdiff_t stride_height, stride_width;
    ptrdiff_t padding_top, padding_left;    ///< padding counts as minus infinity
} convoy_pool_shape;

/// Computes max-pooling, and writes to `choice` [like output] the place in the window
/// (row * width + column) of the first maximum in row-major order. A NaN counts as a maximum, as in
/// PyTorch.
///
/// With `relu_mask` the input comes from a ReLU, and a maximum that is not above 0 gets the choice
/// 0xFFFF, "none". That is the gradient of the ReLU, computed here because there are fewer elements
/// here (max and ReLU commute). No element is below 0 then, so bit patterns compare as the numbers
/// do. Blocks of 8 or 16 with windows of 2 x 2 and stride 2 are compared that way: a NaN with its
/// sign bit set loses there, and another NaN keeps its place. In all other shapes a maximum that is
/// a NaN gets the choice "none".
void convoy_max_pool(const float *input, float *output, uint16_t *choice,
                     const convoy_pool_shape *shape, int relu_mask);
void convoy_max_pool_bf16(const uint16_t *input, uint16_t *output, uint16_t *choice,
                          const convoy_pool_shape *shape, int relu_mask);

/// Computes the gradient of the input, overwriting `input_gradient`. Where windows overlap, their
/// gradients are added in row-major order, in float.
void convoy_max_pool_backward(const float *output_gradient, const uint16_t *choice,
                              float *input_gradient, const convoy_pool_shape *shape);
void convoy_max_pool_backward_bf16(const uint16_t *output_gradient, const uint16_t *choice,
                                   uint16_t *input_gradient, const convoy_pool_shape *shape);

/// Computes values[i] = max(values[i], 0). A NaN stays a NaN; in bfloat16 one with its sign bit set
/// becomes 0.
void convoy_relu(float *values, ptrdiff_t count);
void convoy_relu_bf16(uint16_t *values, ptrdiff_t count);

/// Sets gradient[i] to 0 where output[i] <= 0. In bfloat16 a NaN with its sign bit set counts as
/// below 0.
void convoy_relu_backward(float *gradient, const float *output, ptrdiff_t count);
void convoy_relu_backward_bf16(uint16_t *gradient, const uint16_t *output, ptrdiff_t count);

/// Writes an inverted-dropout mask: mask[i] = kept where the top 24 bits of word i are at least
/// `least`, otherwise 0.
///
/// The words are those of Philox4x32-10 with this key. The lower half of their counter counts up
/// from 0, and the upper half is `name`. They are the words that `RandomStream` of CounterRandom
/// draws, computed several blocks at a time.
void convoy_dropout_mask(float *mask, ptrdiff_t count, uint64_t key, uint64_t name, uint32_t least,
                         float kept);

/// Computes values[i] *= factors[i].
void convoy_scale(float *values, const float *factors, ptrdiff_t count);
void convoy_scale_bf16(uint16_t *values, const float *factors, ptrdiff_t count);

#ifdef __cplusplus
}
#endif
#endif
