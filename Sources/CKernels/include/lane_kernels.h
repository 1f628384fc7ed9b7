/// Convolutions, dense layers and pools on eight images side by side.
///
/// Layout: a *lane tensor* [C, H, W, 8] holds one number of each of eight images, so that every
/// vector operation does the same to all eight, whatever the channels and kernels are: nothing is
/// padded, and nothing is reordered between layers. [C, H, W, 8] and [C·H·W, 8] are the same
/// memory, so flattening is free. Addresses are multiples of 32 bytes; strides count floats.
/// Determinism: every output is a chain of fused multiply-adds in an order that the arguments fix,
/// and a fused multiply-add is rounded once, everywhere. So all processors give the same bits;
/// those without AVX2 and FMA are slow. Threading: pure functions of their arguments.
#ifndef CONVOY_LANE_KERNELS_H
#define CONVOY_LANE_KERNELS_H

#include <stddef.h>
#include <stdint.h>

#ifdef __cplusplus
extern "C" {
#endif

enum { CONVOY_LANES = 8, CONVOY_LANE_OUTPUTS = 4 };

/// 1 where the fast code runs: AVX2 and FMA.
int convoy_lanes_are_fast(void);

/// From now on this process runs the code for every processor: for tests.
void convoy_lanes_hold_back(void);

/// [8, elements] row-major to [elements, 8]; rows from `count` on become zeros.
void convoy_lanes_from_rows(const float *rows, ptrdiff_t count, ptrdiff_t elements, float *lanes);

/// [elements, 8] to [8, elements] row-major.
void convoy_lanes_to_rows(const float *lanes, ptrdiff_t elements, float *rows);

/// Output positions that look at the same places relative to themselves.
typedef struct {
    const int32_t *taps;       ///< [tap_count] offsets from a source position
    const int32_t *weights;    ///< [tap_count] each tap's place in the kernel; NULL: all, in order
    ptrdiff_t tap_count;
    const int32_t *sources;    ///< [position_count] offsets into a source plane
    const int32_t *targets;    ///< [position_count] offsets into a target plane
    ptrdiff_t position_count;  ///< at least 1
} convoy_lane_group;

typedef struct {
    ptrdiff_t source_channels, source_plane;  ///< a plane's floats
    ptrdiff_t target_channels, target_plane;
    ptrdiff_t kernel_size;                    ///< places in a kernel
    int relu;                                 ///< the target is max(sum, 0)
} convoy_lane_shape;

/// target[o, p] = bias[o] + sum over channels c, then taps t, of
/// weights[o, c, t] * source[c, p + t], for all positions of a group.
///
/// `weights` is packed [target_channels / 4 rounded up, c, kernel place, 4]; `bias` may be NULL.
/// The first target channel is `first`, a multiple of 4, and `count` of them are computed.
void convoy_lanes_correlate(const float *source, const float *weights, const float *bias,
                            float *target, const convoy_lane_shape *shape,
                            const convoy_lane_group *group, ptrdiff_t first, ptrdiff_t count);

/// Packs [o, c, k] row-major as `convoy_lanes_correlate` reads it.
void convoy_lanes_pack(const float *weights, ptrdiff_t outputs, ptrdiff_t channels,
                       ptrdiff_t kernel_size, float *packed);

/// The same with o and c exchanged: for the gradient of the source.
void convoy_lanes_pack_transposed(const float *weights, ptrdiff_t outputs, ptrdiff_t channels,
                                  ptrdiff_t kernel_size, float *packed);

typedef struct {
    ptrdiff_t output_height, output_width;
    ptrdiff_t source_row, source_column;  ///< floats from one output row or column to the next
} convoy_lane_walk;

/// gradient[o, t] (+)= sum over positions and lanes of output_gradient[o, p] * source[taps[t] + p].
///
/// `output_gradient` is [count, height, width, 8]; `gradient` row-major with `tap_count` columns.
/// Adds to what is there when `adds`, otherwise overwrites.
void convoy_lanes_weight_gradient(const float *source, const float *output_gradient,
                                  ptrdiff_t count, const int32_t *taps, ptrdiff_t tap_count,
                                  const convoy_lane_walk *walk, float *gradient, int adds);

/// gradient[o] (+)= sum over positions and lanes of output_gradient[o, p].
void convoy_lanes_bias_gradient(const float *output_gradient, ptrdiff_t count,
                                ptrdiff_t position_count, float *gradient, int adds);

/// output[o] = bias[o] + sum over i of weights[o, i] * input[i]; max(·, 0) with `relu`.
/// `weights` [outputs, inputs] row-major, input and output in lanes.
void convoy_lanes_dense(const float *input, const float *weights, const float *bias, float *output,
                        ptrdiff_t inputs, ptrdiff_t outputs, int relu);

/// input_gradient[i] = sum over o of weights[o, i] * output_gradient[o].
void convoy_lanes_dense_input_gradient(const float *output_gradient, const float *weights,
                                       float *input_gradient, ptrdiff_t inputs, ptrdiff_t outputs);

/// gradient[o, i] (+)= sum over n of output_gradient[n, o] * input[n, i]; rows, not lanes.
void convoy_rows_dense_weight_gradient(const float *input, const float *output_gradient,
                                       ptrdiff_t rows, ptrdiff_t inputs, ptrdiff_t outputs,
                                       float *gradient, int adds);

/// gradient[o] (+)= sum over n of output_gradient[n, o].
void convoy_rows_bias_gradient(const float *output_gradient, ptrdiff_t rows, ptrdiff_t outputs,
                               float *gradient, int adds);

typedef struct {
    ptrdiff_t input_height, input_width;
    ptrdiff_t output_height, output_width;
    ptrdiff_t window_height, window_width;
    ptrdiff_t stride_height, stride_width;
    ptrdiff_t padding_top, padding_left;  ///< padding counts as minus infinity
} convoy_lane_pool;

/// Max-pooling of `channels` planes. `choice` [like output] gets the place in the window of the
/// first maximum in row-major order; a NaN wins. With `relu_mask` the input comes from a ReLU, and a
/// maximum that is not above 0 gets the choice -1: the ReLU's gradient.
void convoy_lanes_max_pool(const float *input, float *output, int32_t *choice,
                           ptrdiff_t channels, const convoy_lane_pool *pool, int relu_mask);

/// Overwrites `input_gradient`; windows that overlap are added in row-major order.
void convoy_lanes_max_pool_backward(const float *output_gradient, const int32_t *choice,
                                    float *input_gradient, ptrdiff_t channels,
                                    const convoy_lane_pool *pool);

#ifdef __cplusplus
}
#endif
#endif
