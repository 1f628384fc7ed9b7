/// Depthwise convolutions of lane tensors: each channel has one kernel of its own.
///
/// Layout, determinism and threading are as in lane_kernels.h. Weights are [C, kernel height,
/// kernel width], row-major. The input's height and width include its padding, which the caller
/// writes as zeros:
///
///     output[c, y, x] = bias[c] + sum over i, j of
///         weights[c, i, j] * input[c, y * stride + i * dilation, x * stride + j * dilation]
///
/// Outputs lie inside: (output_height - 1) * stride_height + (kernel_height - 1) * dilation_height
/// is below input_height, and so for the width. Outputs do not overlap inputs in memory.
#ifndef CONVOY_DEPTHWISE_KERNELS_H
#define CONVOY_DEPTHWISE_KERNELS_H

#include <stddef.h>

#ifdef __cplusplus
extern "C" {
#endif

/// The shapes of a depthwise convolution.
typedef struct {
    ptrdiff_t input_height, input_width;  ///< with padding
    ptrdiff_t output_height, output_width;
    ptrdiff_t kernel_height, kernel_width;
    ptrdiff_t stride_height, stride_width;
    ptrdiff_t dilation_height, dilation_width;
} convoy_depthwise;

/// Computes the outputs, and takes max(·, 0) with `relu`. `bias` may be NULL. A sum begins with the
/// bias, and then takes the kernel in row-major order.
void convoy_lanes_depthwise(const float *input, const float *weights, const float *bias,
                            float *output, ptrdiff_t channels, const convoy_depthwise *shape,
                            int relu);

/// Computes the gradient of the input with its padding, overwriting `input_gradient`. A sum takes
/// the kernel in row-major order; what no output reads gets 0.
void convoy_lanes_depthwise_input_gradient(const float *output_gradient, const float *weights,
                                           float *input_gradient, ptrdiff_t channels,
                                           const convoy_depthwise *shape);

/// Computes gradient[c, i, j] (+)= sum over positions, in row-major order, and then over lanes of
/// output_gradient * input. With `adds` the sums are added to `gradient`, otherwise they overwrite
/// it. The gradient of the bias is `convoy_lanes_bias_gradient`.
void convoy_lanes_depthwise_weight_gradient(const float *input, const float *output_gradient,
                                            float *gradient, ptrdiff_t channels,
                                            const convoy_depthwise *shape, int adds);

#ifdef __cplusplus
}
#endif
#endif
