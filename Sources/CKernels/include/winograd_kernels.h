/// Convolutions of 3 x 3 kernels with stride 1 on lane tensors, with fewer products.
///
/// The method is Winograd's minimal filtering F(2 x 2, 3 x 3), after Lavin and Gray, "Fast
/// Algorithms for Convolutional Neural Networks" (2015): a tile of 2 x 2 outputs reads 4 x 4
/// inputs. Both kernel and inputs are mapped to 16 *points*. There a convolution is a product of
/// matrices over the channels, one for each point: 16 products in place of 36. The backward pass is
/// the transposed sequence of the same maps, so that it needs no more products than the forward
/// pass.
///
/// Points of tiles `first ..< first + count` lie as [16, channels, count, 8]; the last dimension is
/// that of a lane tensor (lane_kernels.h). Tiles are counted in row-major order. Elements outside
/// an image are zero.
/// Everything is exact where the numbers are small multiples of a power of two, since the maps only
/// halve and add. Determinism and threading are as in lane_kernels.h.
#ifndef CONVOY_WINOGRAD_KERNELS_H
#define CONVOY_WINOGRAD_KERNELS_H

#include <stddef.h>
#include <stdint.h>

#ifdef __cplusplus
extern "C" {
#endif

/// The number of points, that of rows of weights that are multiplied together, and the largest
/// number of tiles in a call: with six, sums and factors fill the sixteen registers of AVX2.
enum { CONVOY_WINOGRAD_POINTS = 16, CONVOY_WINOGRAD_ROWS = 2, CONVOY_WINOGRAD_TILES = 6 };

/// Returns the number of floats from one point to the next where each point has `count` floats. The
/// distance is a cache line longer than needed: sixteen points at distances of whole pages would
/// share the same few places of a first-level cache.
static inline ptrdiff_t convoy_winograd_point(ptrdiff_t count) { return (count + 31) / 16 * 16; }

/// Returns the number of floats from one point to the next in packed weights, whose rows are
/// rounded up to whole pairs.
static inline ptrdiff_t convoy_winograd_packed_point(ptrdiff_t rows, ptrdiff_t depth) {
    return convoy_winograd_point((rows + 1) / CONVOY_WINOGRAD_ROWS * CONVOY_WINOGRAD_ROWS * depth);
}

/// The shapes of a convolution and its tiles. The input's height and width include its padding.
typedef struct {
    ptrdiff_t channels, outputs;
    ptrdiff_t input_height, input_width;
    ptrdiff_t output_height, output_width;
    ptrdiff_t tile_rows, tile_columns;
} convoy_winograd_shape;

/// Maps kernels [outputs, channels, 3, 3] to points, packed as [16, outputs / 2 rounded up,
/// channels, 2]. Unless `transposed` is NULL, it receives the same points with outputs and channels
/// exchanged.
void convoy_winograd_pack(const float *weights, ptrdiff_t outputs, ptrdiff_t channels,
                          float *packed, float *transposed);

/// Maps gradients of points [16, count] to gradients of kernels [count, 3, 3].
void convoy_winograd_unpack_gradient(const float *points, ptrdiff_t count, float *gradient);

/// Maps an input [channels, height, width, 8] to points.
void convoy_winograd_input(const float *input, const convoy_winograd_shape *shape, ptrdiff_t first,
                           ptrdiff_t count, float *points);

/// Maps an input to the points of `convoy_winograd_input`, but in the order [16, channels / 8,
/// count, 8 images, 8 channels]. The number of channels is a multiple of eight.
void convoy_winograd_input_by_image(const float *input, const convoy_winograd_shape *shape,
                                    ptrdiff_t first, ptrdiff_t count, float *points);

/// Computes to[r, t] = sum over d of weights[r, d] * from[d, t] at one point, for `width` tiles, at
/// most six. `weights` lie as `convoy_winograd_pack` writes them.
void convoy_winograd_multiply(const float *weights, const float *from, ptrdiff_t rows,
                              ptrdiff_t depth, ptrdiff_t width, float *to);

/// Computes gradient[o, c] (+)= sum over k of output_gradient[o, k] * input[c, k] at one point,
/// where k counts tiles and images. `depth` is count * 8, and `input` is one point of
/// `convoy_winograd_input_by_image`.
void convoy_winograd_multiply_gradient(const float *output_gradient, const float *input,
                                       ptrdiff_t outputs, ptrdiff_t channels, ptrdiff_t depth,
                                       float *gradient, int adds);

/// Maps the points of some tiles to their outputs [outputs, height, width, 8], and takes max(·, 0)
/// with `relu`.
void convoy_winograd_output(const float *points, const float *bias,
                            const convoy_winograd_shape *shape, ptrdiff_t first, ptrdiff_t count,
                            int relu, float *output);

/// Maps the points of some tiles to outputs as `convoy_winograd_output` does, and computes a
/// max-pool of 2 x 2 with stride 2, whose windows are the tiles. `output` and `choice` are
/// [outputs, tiles, 8]; `choice` has the meaning that it has in `convoy_lanes_max_pool`.
void convoy_winograd_output_pooled(const float *points, const float *bias,
                                   const convoy_winograd_shape *shape, ptrdiff_t first,
                                   ptrdiff_t count, int relu, float *output, int32_t *choice);

/// Maps the gradient of the outputs to gradients of points.
void convoy_winograd_output_gradient(const float *gradient, const convoy_winograd_shape *shape,
                                     ptrdiff_t first, ptrdiff_t count, float *points);

/// Maps the gradient of the pooled outputs to gradients of points.
void convoy_winograd_pooled_gradient(const float *gradient, const int32_t *choice,
                                     const convoy_winograd_shape *shape, ptrdiff_t first,
                                     ptrdiff_t count, float *points);

/// Adds the contribution of some tiles to the gradient of the input.
void convoy_winograd_input_gradient(const float *points, const convoy_winograd_shape *shape,
                                    ptrdiff_t first, ptrdiff_t count, float *gradient);

#ifdef __cplusplus
}
#endif
#endif
