/// Activations, gates and average pools on lane tensors.
///
/// Layout, determinism and threading are as in lane_kernels.h. Numbers of elements count floats and
/// are multiples of 8. Every result in a lane depends on that lane alone, and a gradient that is
/// exactly 0 stays 0 where the input is finite.
#ifndef CONVOY_LANE_ELEMENTWISE_KERNELS_H
#define CONVOY_LANE_ELEMENTWISE_KERNELS_H

#include <stddef.h>

#include "lane_kernels.h"

#ifdef __cplusplus
extern "C" {
#endif

/// The activations. Their definitions, and their gradients where a curve has a corner, are those of
/// PyTorch 2.13. Where PyTorch returns NaN for an infinity, these return the limit.
typedef enum {
    CONVOY_RELU6,         ///< min(max(x, 0), 6); its gradient is 0 at 0 and at 6
    CONVOY_LEAKY_RELU,    ///< x above 0, otherwise slope * x; its gradient at 0 is the slope
    CONVOY_HARD_SIGMOID,  ///< min(max(x + 3, 0), 6) / 6; its gradient is 0 at -3 and at 3
    CONVOY_HARD_SWISH,    ///< x * hard sigmoid of x; its gradient is 0 at -3 and 1 at 3
    CONVOY_SIGMOID,       ///< 1 / (1 + e^-x)
    CONVOY_TANH,          ///< (e^x - e^-x) / (e^x + e^-x)
    CONVOY_SILU,          ///< x / (1 + e^-x)
    CONVOY_GELU,          ///< x * (1 + erf(x / sqrt 2)) / 2
} convoy_activation;

/// Computes y = the activation of x. `slope` is that of the leaky ReLU. A NaN gives a NaN. `y` may
/// be `x`.
///
/// The relative error is below 4e-7. Powers of e below 2^-126 count as 0: sigmoid and SiLU are 0
/// for x < -87.3, and GELU is 0 for x < -13.2.
void convoy_lanes_activate(convoy_activation kind, float slope, const float *x, float *y,
                           ptrdiff_t count);

/// Computes input_gradient = gradient * the activation's derivative at x. `input_gradient` may be
/// `gradient` or `x`. A NaN in x gives a NaN, but for ReLU6, leaky ReLU and hard sigmoid, whose
/// derivatives are numbers then.
void convoy_lanes_activate_backward(convoy_activation kind, float slope, const float *x,
                                    const float *gradient, float *input_gradient, ptrdiff_t count);

/// Computes y = x * gate, where `gate` [channels, 8] has one number for all positions of a channel.
/// The product of two tensors element by element has one position. `y` may be `x`.
void convoy_lanes_multiply(const float *x, const float *gate, float *y, ptrdiff_t channels,
                           ptrdiff_t positions);

/// Computes x_gradient = gradient * gate, and gate_gradient [channels, 8] = sum over positions of
/// gradient * x. Both are overwritten. The sum is computed as normalization_kernels.h describes.
/// `x_gradient` may be `gradient`, and with one position `gate_gradient` may be `x` or `gate`.
void convoy_lanes_multiply_backward(const float *gradient, const float *x, const float *gate,
                                    float *x_gradient, float *gate_gradient, ptrdiff_t channels,
                                    ptrdiff_t positions);

/// Computes the mean of each window: the sum of its cells inside the image, in row-major order,
/// divided by their number, or with `counts_padding` by the size of the window (PyTorch's
/// count_include_pad). Each window has at least one cell inside the image.
void convoy_lanes_average_pool(const float *input, float *output, ptrdiff_t channels,
                               const convoy_lane_pool *pool, int counts_padding);

/// Computes the gradient of the input, overwriting `input_gradient`. Where windows overlap, their
/// gradients are added in row-major order.
void convoy_lanes_average_pool_backward(const float *output_gradient, float *input_gradient,
                                        ptrdiff_t channels, const convoy_lane_pool *pool,
                                        int counts_padding);

/// Computes y [channels, 8] = the mean over all positions, by the sums that
/// normalization_kernels.h describes.
void convoy_lanes_global_average(const float *x, float *y, ptrdiff_t channels, ptrdiff_t positions);

/// Computes x_gradient = gradient / positions for each position, overwriting `x_gradient`.
void convoy_lanes_global_average_backward(const float *gradient, float *x_gradient,
                                          ptrdiff_t channels, ptrdiff_t positions);

#ifdef __cplusplus
}
#endif
#endif
