/// Batch, group and layer normalisation of lane tensors.
///
/// Layout: lane tensors [C, P, 8] (lane_kernels.h) with P positions. The first `count` of eight
/// lanes, 1 to 8, are images. The others are *padding*: functions that take `count` never read
/// padding, and write exact zeros there. All other functions treat the eight lanes alike. They want
/// finite numbers in padding, and gradients that are exactly zero there.
/// Sums: positions are taken in blocks of 16. In a block, the even and the odd positions are two
/// chains of float additions; the sum of the two is added to a total in double. So a sum depends on
/// its number of positions and on nothing else, and lanes are added in the order of
/// `convoy_lane_sum`. Determinism and threading are as in lane_kernels.h.
///
/// Batch normalisation of one channel with n = P * count values:
///
///     forward   mean, squares        by `convoy_lanes_moments`, merged over tiles by the caller
///               inverse = 1 / sqrt(squares / n + epsilon)
///               y = a x + b          a = scale * inverse, b = shift - mean * a
///     backward  sum, product         by `convoy_lanes_norm_gradient_sums`, added by the caller
///               scale gradient = product * inverse, shift gradient = sum
///               dx = a g + b x + c   b = -a * inverse^2 * product / n, c = -a * sum / n - b * mean
#ifndef CONVOY_NORMALIZATION_KERNELS_H
#define CONVOY_NORMALIZATION_KERNELS_H

#include <stddef.h>

#ifdef __cplusplus
extern "C" {
#endif

/// Computes for each channel, over all positions and images, mean[c] = the mean of x, and
/// squares[c] = sum (x - mean[c])^2.
///
/// A first sweep finds a float near the mean. The second one sums the differences from it and their
/// squares, which gives the rest of the mean and the squares, so that a large mean costs no digits.
/// The squares are never below 0.
void convoy_lanes_moments(const float *x, ptrdiff_t channels, ptrdiff_t positions, ptrdiff_t count,
                          double *mean, double *squares);

/// Computes y = a[c] * x + b[c], rounded once, then adds `skip` [like x] unless it is NULL, and
/// then takes max(·, 0) with `relu`. A NaN stays a NaN. `y` may be `x` or `skip`.
void convoy_lanes_affine(const float *x, const float *skip, const float *a, const float *b,
                         float *y, ptrdiff_t channels, ptrdiff_t positions, ptrdiff_t count,
                         int relu);

/// Computes for each channel, over all positions and lanes, sum[c] = sum g and
/// product[c] = sum g * (x - mean[c]).
///
/// Unless `output` is NULL, it is the output of a ReLU, and the gradient is first set to 0 in place
/// where output <= 0.
void convoy_lanes_norm_gradient_sums(float *gradient, const float *output, const float *x,
                                     const float *mean, ptrdiff_t channels, ptrdiff_t positions,
                                     double *sum, double *product);

/// Computes input_gradient = a[ch] * gradient + (b[ch] * x + c[ch]), where each of the two steps is
/// rounded once. `input_gradient` may be `gradient` or `x`.
void convoy_lanes_norm_gradient(const float *gradient, const float *x, const float *a,
                                const float *b, const float *c, float *input_gradient,
                                ptrdiff_t channels, ptrdiff_t positions, ptrdiff_t count);

/// Normalises each image over groups of channels / groups adjacent channels and all positions, and
/// maps the result by a scale and a shift for each channel:
///
///     y = (x - mean) * (deviation_inverse * scale[c]) + shift[c]
///     deviation_inverse = 1 / sqrt(variance + epsilon)
///
/// The variance is that of PyTorch's GroupNorm: the sum of squares divided by the number of values.
/// One group is layer normalisation over [C, P] with a scale for each channel. `mean` and
/// `deviation_inverse` [groups, 8] are kept for the backward pass. `y` may be `x`.
void convoy_lanes_group_norm(const float *x, const float *scale, const float *shift, float epsilon,
                             float *y, float *mean, float *deviation_inverse, ptrdiff_t channels,
                             ptrdiff_t groups, ptrdiff_t positions);

/// Computes the gradients of group normalisation.
///
/// `input_gradient` is overwritten, and may be `gradient` or `x`; it is exactly 0 in a lane whose
/// gradients are all 0. `scale_gradient` and `shift_gradient` [C] are sums over all lanes, computed
/// in double; with `adds` they are added to what is there, otherwise they overwrite it.
void convoy_lanes_group_norm_backward(const float *gradient, const float *x, const float *scale,
                                      const float *mean, const float *deviation_inverse,
                                      float *input_gradient, float *scale_gradient,
                                      float *shift_gradient, ptrdiff_t channels, ptrdiff_t groups,
                                      ptrdiff_t positions, int adds);

#ifdef __cplusplus
}
#endif
#endif
