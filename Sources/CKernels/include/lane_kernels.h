/// Convolutions, dense layers and pools on eight images side by side.
///
/// Layout: a *lane tensor* [C, H, W, 8] holds one number of each of eight images, so that every
/// vector operation does the same for all eight, whatever the channels and kernels are. Nothing is
/// padded, and nothing is reordered between layers. [C, H, W, 8] and [C·H·W, 8] are the same
/// memory, so flattening is free. Addresses are multiples of 32 bytes; strides count floats.
/// Determinism: every output is a chain of fused multiply-adds in an order that the arguments fix,
/// and a fused multiply-add is rounded once on every processor. So all processors give the same
/// bits; x86-64 processors without AVX2 and FMA are slow. Registers of 512 bits hold two places of
/// eight images, never sixteen images, so they change no order. Threading: every function but
/// `convoy_lanes_hold_back` is a pure function of its arguments.
#ifndef CONVOY_LANE_KERNELS_H
#define CONVOY_LANE_KERNELS_H

#include <stddef.h>
#include <stdint.h>

#ifdef __cplusplus
extern "C" {
#endif

enum { CONVOY_LANES = 8, CONVOY_LANE_OUTPUTS = 4 };

/// The versions of the code. On processors other than x86-64 there is one, which counts as
/// `CONVOY_LEVEL_AVX2`.
enum {
    CONVOY_LEVEL_ANY = 0,     ///< every processor; slow, since a fused multiply-add is a call
    CONVOY_LEVEL_AVX2 = 1,    ///< AVX2 and FMA
    CONVOY_LEVEL_AVX512 = 2,  ///< AVX-512 F, VL, BW and DQ
};

/// Returns the version of the code that runs: the best that this processor has.
int convoy_lanes_level(void);

/// Makes this process run this version of the code at best, from now on. For tests, and to compare
/// their speed.
void convoy_lanes_hold_back(int level);

/// Copies rows [8, elements], row-major, to lanes [elements, 8]. Rows from `count` on become zeros
/// and are not read.
void convoy_lanes_from_rows(const float *rows, ptrdiff_t count, ptrdiff_t elements, float *lanes);

/// Copies lanes [elements, 8] to rows [8, elements], row-major.
void convoy_lanes_to_rows(const float *lanes, ptrdiff_t elements, float *rows);

/// A group of output positions that read the same places relative to themselves.
typedef struct {
    const int32_t *taps;       ///< [tap_count] offsets from a source position
    const int32_t *weights;    ///< [tap_count] each tap's place in the kernel; NULL: all, in order
    ptrdiff_t tap_count;
    const int32_t *sources;    ///< [position_count] offsets into a source plane
    const int32_t *targets;    ///< [position_count] offsets into a target plane
    ptrdiff_t position_count;  ///< at least 1
} convoy_lane_group;

/// The shapes of a correlation.
typedef struct {
    ptrdiff_t source_channels, source_plane;  ///< a plane's floats
    ptrdiff_t target_channels, target_plane;
    ptrdiff_t kernel_size;                    ///< places in a kernel
    int relu;                                 ///< the target is max(sum, 0)
} convoy_lane_shape;

/// Computes target[o, p] = bias[o] + sum over channels c, then taps t, of
/// weights[o, c, t] * source[c, p + t], for all positions of a group.
///
/// `weights` is packed [target_channels / 4 rounded up, c, kernel place, 4]; `bias` may be NULL.
/// `count` target channels are computed. The first one is `first`, a multiple of 4, and `target`
/// begins with it.
void convoy_lanes_correlate(const float *source, const float *weights, const float *bias,
                            float *target, const convoy_lane_shape *shape,
                            const convoy_lane_group *group, ptrdiff_t first, ptrdiff_t count);

/// Packs weights [o, c, k], row-major, as `convoy_lanes_correlate` reads them.
void convoy_lanes_pack(const float *weights, ptrdiff_t outputs, ptrdiff_t channels,
                       ptrdiff_t kernel_size, float *packed);

/// Packs weights [o, c, k] with o and c exchanged, for the gradient of the source.
void convoy_lanes_pack_transposed(const float *weights, ptrdiff_t outputs, ptrdiff_t channels,
                                  ptrdiff_t kernel_size, float *packed);

/// The outputs of a convolution, and the distances between the source positions that they read.
typedef struct {
    ptrdiff_t output_height, output_width;
    ptrdiff_t source_row, source_column;  ///< floats from one output row or column to the next
} convoy_lane_walk;

/// Computes gradient[o, t] (+)= sum over positions and lanes of
/// output_gradient[o, p] * source[taps[t] + p].
///
/// `output_gradient` is [count, height, width, 8]; `gradient` is row-major with `tap_count`
/// columns. With `adds` the sums are added to `gradient`, otherwise they overwrite it.
void convoy_lanes_weight_gradient(const float *source, const float *output_gradient,
                                  ptrdiff_t count, const int32_t *taps, ptrdiff_t tap_count,
                                  const convoy_lane_walk *walk, float *gradient, int adds);

/// Computes gradient[o] (+)= sum over positions and lanes of output_gradient[o, p].
void convoy_lanes_bias_gradient(const float *output_gradient, ptrdiff_t count,
                                ptrdiff_t position_count, float *gradient, int adds);

/// Computes output[o] = bias[o] + sum over i of weights[o, i] * input[i]; with `relu`, the maximum
/// of that and 0.
/// `weights` is [outputs, inputs] row-major; input and output are in lanes.
void convoy_lanes_dense(const float *input, const float *weights, const float *bias, float *output,
                        ptrdiff_t inputs, ptrdiff_t outputs, int relu);

/// Computes input_gradient[i] (+)= sum over o of weights[o, i] * output_gradient[o].
void convoy_lanes_dense_input_gradient(const float *output_gradient, const float *weights,
                                       float *input_gradient, ptrdiff_t inputs, ptrdiff_t outputs,
                                       int adds);

/// Computes gradient[o, i] (+)= sum over n of output_gradient[n, o] * input[n, i]. All are in rows,
/// not lanes.
void convoy_rows_dense_weight_gradient(const float *input, const float *output_gradient,
                                       ptrdiff_t rows, ptrdiff_t inputs, ptrdiff_t outputs,
                                       float *gradient, int adds);

/// Computes gradient[o] (+)= sum over n of output_gradient[n, o].
void convoy_rows_bias_gradient(const float *output_gradient, ptrdiff_t rows, ptrdiff_t outputs,
                               float *gradient, int adds);

/// The shapes of a max-pool over planes of [H, W, 8].
typedef struct {
    ptrdiff_t input_height, input_width;
    ptrdiff_t output_height, output_width;
    ptrdiff_t window_height, window_width;
    ptrdiff_t stride_height, stride_width;
    ptrdiff_t padding_top, padding_left;  ///< padding counts as minus infinity
} convoy_lane_pool;

/// Computes max-pooling of `channels` planes, and writes to `choice` [like output] the place in the
/// window of the first maximum in row-major order. A NaN counts as a maximum.
///
/// With `relu_mask` the input comes from a ReLU, and a maximum of at most 0 gets the choice -1:
/// that is the gradient of the ReLU.
void convoy_lanes_max_pool(const float *input, float *output, int32_t *choice,
                           ptrdiff_t channels, const convoy_lane_pool *pool, int relu_mask);

/// Computes the gradient of the input, overwriting `input_gradient`. Where windows overlap, their
/// gradients are added in row-major order.
void convoy_lanes_max_pool_backward(const float *output_gradient, const int32_t *choice,
                                    float *input_gradient, ptrdiff_t channels,
                                    const convoy_lane_pool *pool);

#ifdef __cplusplus
}
#endif
#endif
