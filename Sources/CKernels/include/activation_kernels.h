/// Pooling, ReLU and dropout on activations, in the layouts that convolutions like.
///
/// Layout: [N, C/b, H, W, b] for a channel block b, which covers [N, C, H, W] (b = 1), blocked
/// layouts (b = 8, 16) and [N, H, W, C] (b = C). Elements are float, or bfloat16 (the upper half of
/// a float, rounded to nearest even) in the functions that end in _bf16.
/// Determinism: each element is a comparison, a product, or a sum whose order the source fixes, so
/// wider vectors change the speed and nothing else. Threading: pure functions of their arguments.
#ifndef CONVOY_ACTIVATION_KERNELS_H
#define CONVOY_ACTIVATION_KERNELS_H

#include <stddef.h>
#include <stdint.h>

#ifdef __cplusplus
extern "C" {
#endif

typedef struct {
    ptrdiff_t plane_count;  ///< N * C/b
    ptrdiff_t block;        ///< b
    ptrdiff_t input_height, input_width;
    ptrdiff_t output_height, output_width;
    ptrdiff_t window_height, window_width;  ///< at most 65,534 elements together
    ptrdiff_t stride_height, stride_width;
    ptrdiff_t padding_top, padding_left;    ///< padding counts as minus infinity
} convoy_pool_shape;

/// Max-pooling. `choice` [like output] gets the place in the window (row * width + column) of the
/// first maximum in row-major order; a NaN wins, as in PyTorch.
/// With `relu_mask` the input comes from a ReLU, and a maximum that is not above 0 gets the choice
/// "none": the ReLU's gradient, taken here, where there are fewer elements (max and ReLU commute).
/// No element is below 0 then, so bit patterns compare as the numbers do; a NaN with a sign loses.
void convoy_max_pool(const float *input, float *output, uint16_t *choice,
                     const convoy_pool_shape *shape, int relu_mask);
void convoy_max_pool_bf16(const uint16_t *input, uint16_t *output, uint16_t *choice,
                          const convoy_pool_shape *shape, int relu_mask);

/// Overwrites `input_gradient`; windows that overlap are added in row-major order, in float.
void convoy_max_pool_backward(const float *output_gradient, const uint16_t *choice,
                              float *input_gradient, const convoy_pool_shape *shape);
void convoy_max_pool_backward_bf16(const uint16_t *output_gradient, const uint16_t *choice,
                                   uint16_t *input_gradient, const convoy_pool_shape *shape);

/// values[i] = max(values[i], 0); NaN stays.
void convoy_relu(float *values, ptrdiff_t count);
void convoy_relu_bf16(uint16_t *values, ptrdiff_t count);

/// gradient[i] = 0 where output[i] <= 0.
void convoy_relu_backward(float *gradient, const float *output, ptrdiff_t count);
void convoy_relu_backward_bf16(uint16_t *gradient, const uint16_t *output, ptrdiff_t count);

/// An inverted-dropout mask: mask[i] = kept where the top 24 bits of word i are at least `least`,
/// otherwise 0. The words are those of Philox4x32-10 with this key, counted up from 0 below `name`:
/// what `RandomStream` of CounterRandom draws, several blocks at a time.
void convoy_dropout_mask(float *mask, ptrdiff_t count, uint64_t key, uint64_t name, uint32_t least,
                         float kept);

/// values[i] *= factors[i].
void convoy_scale(float *values, const float *factors, ptrdiff_t count);
void convoy_scale_bf16(uint16_t *values, const float *factors, ptrdiff_t count);

#ifdef __cplusplus
}
#endif
#endif
