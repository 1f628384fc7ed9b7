/// Convolutions of 3 x 3 kernels with stride 1 on lane tensors, with fewer products.
///
/// Winograd's minimal filtering F(2 x 2, 3 x 3), after Lavin and Gray, "Fast Algorithms for
/// Convolutional Neural Networks" (2015): a tile of 2 x 2 outputs looks at 4 x 4 inputs. Both
/// kernel and inputs are mapped to 16 *points*; there a convolution is a product of matrices over
/// the channels, one for each point: 16 products in place of 36. The backward pass is the
/// transposed sequence of the same maps, so that it needs no more products than the forward one.
///
/// Points of tiles `first ..< first + count` lie as [16, channels, count, 8] (lane_kernels.h tells
/// of the last). Tiles are counted in row-major order; what lies outside an image is zero.
/// Everything is exact where the numbers are small multiples of a power of two: the maps halve and
/// add. Determinism and threading: as lane_kernels.h.
#ifndef CONVOY_WINOGRAD_KERNELS_H
#define CONVOY_WINOGRAD_KERNELS_H

#include <stddef.h>
#include <stdint.h>

#ifdef __cplusplus
extern "C" {
#endif

enum { CONVOY_WINOGRAD_POINTS = 16, CONVOY_WINOGRAD_ROWS = 2 };

/// Floats from one point to the next where each has `count`: a cache line more, since all sixteen
/// at a distance of whole pages would share the same few places of a first-level cache.
static inline ptrdiff_t convoy_winograd_point(ptrdiff_t count) { return (count + 31) / 16 * 16; }

/// The same for packed weights, whose rows are rounded up to whole pairs.
static inline ptrdiff_t convoy_winograd_packed_point(ptrdiff_t rows, ptrdiff_t depth) {
    return convoy_winograd_point((rows + 1) / CONVOY_WINOGRAD_ROWS * CONVOY_WINOGRAD_ROWS * depth);
}

typedef struct {
    ptrdiff_t channels, outputs;
    ptrdiff_t input_height, input_width;
    ptrdiff_t output_height, output_width;
    ptrdiff_t tile_rows, tile_columns;
} convoy_winograd_shape;

/// Points of [outputs, channels, 3, 3] as [16, outputs / 2 rounded up, channels, 2], and with
/// outputs and channels exchanged, unless `transposed` is NULL.
void convoy_winograd_pack(const float *weights, ptrdiff_t outputs, ptrdiff_t channels,
                          float *packed, float *transposed);

/// Gradients of points [16, count] to gradients of kernels [count, 3, 3].
void convoy_winograd_unpack_gradient(const float *points, ptrdiff_t count, float *gradient);

/// Points of an input [channels, height, width, 8].
void convoy_winograd_input(const float *input, const convoy_winograd_shape *shape, ptrdiff_t first,
                           ptrdiff_t count, float *points);

/// The same points as [16, channels / 8, count, 8 images, 8 channels]; channels are a multiple of
/// eight.
void convoy_winograd_input_by_image(const float *input, const convoy_winograd_shape *shape,
                                    ptrdiff_t first, ptrdiff_t count, float *points);

/// to[r, t] = sum over d of weights[r, d] * from[d, t], at one point, for `width` tiles, at most
/// six. `weights` as `convoy_winograd_pack` writes them.
void convoy_winograd_multiply(const float *weights, const float *from, ptrdiff_t rows,
                              ptrdiff_t depth, ptrdiff_t width, float *to);

/// gradient[o, c] (+)= sum over k of output_gradient[o, k] * input[c, k], at one point, k counting
/// tiles and images: `depth` is count * 8, `input` one point of
/// `convoy_winograd_input_by_image`.
void convoy_winograd_multiply_gradient(const float *output_gradient, const float *input,
                                       ptrdiff_t outputs, ptrdiff_t channels, ptrdiff_t depth,
                                       float *gradient, int adds);

/// Outputs [outputs, height, width, 8] of some tiles from their points; max(·, 0) with `relu`.
void convoy_winograd_output(const float *points, const float *bias,
                            const convoy_winograd_shape *shape, ptrdiff_t first, ptrdiff_t count,
                            int relu, float *output);

/// The same, and max-pooling of 2 x 2 with stride 2, whose windows are the tiles: `output` and
/// `choice` are [outputs, tiles, 8]. `choice` as of `convoy_lanes_max_pool`.
void convoy_winograd_output_pooled(const float *points, const float *bias,
                                   const convoy_winograd_shape *shape, ptrdiff_t first,
                                   ptrdiff_t count, int relu, float *output, int32_t *choice);

/// Gradients of points from the gradient of the outputs.
void convoy_winograd_output_gradient(const float *gradient, const convoy_winograd_shape *shape,
                                     ptrdiff_t first, ptrdiff_t count, float *points);

/// Gradients of points from the gradient of the pooled outputs.
void convoy_winograd_pooled_gradient(const float *gradient, const int32_t *choice,
                                     const convoy_winograd_shape *shape, ptrdiff_t first,
                                     ptrdiff_t count, float *points);

/// Adds what some tiles contribute to the gradient of the input.
void convoy_winograd_input_gradient(const float *points, const convoy_winograd_shape *shape,
                                    ptrdiff_t first, ptrdiff_t count, float *gradient);

#ifdef __cplusplus
}
#endif
#endif
