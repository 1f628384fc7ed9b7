#include "lanes.h"
#include "winograd_kernels.h"

#pragma STDC FP_CONTRACT OFF

#define POINTS CONVOY_WINOGRAD_POINTS
#define SIDE 4
#define ROWS CONVOY_WINOGRAD_ROWS
// The number of kernels from which on the points of a layer are packed in two passes.
#define LARGE_LAYER (1 << 17)

// The place of a tile: its first row and column, the number of its rows and columns inside the
// image, and whether the next tile lies beside it and both lie wholly inside the image.
typedef struct {
    ptrdiff_t row, column;
    ptrdiff_t rows, columns;
    int has_neighbour;
} place;

CONVOY_INLINE ptrdiff_t at_most(ptrdiff_t a, ptrdiff_t b) { return a < b ? a : b; }

// Finds the places of `count` tiles of `side` rows and columns, in an image of this size.
CONVOY_INLINE void tile_places(const convoy_winograd_shape *shape, ptrdiff_t first, ptrdiff_t count,
                               ptrdiff_t side, ptrdiff_t height, ptrdiff_t width,
                               place at[CONVOY_WINOGRAD_TILES]) {
    ptrdiff_t row = first / shape->tile_columns * 2, column = first % shape->tile_columns * 2;
    for (ptrdiff_t t = 0; t < count; t++) {
        at[t].row = row;
        at[t].column = column;
        at[t].rows = at_most(side, height - row);
        at[t].columns = at_most(side, width - column);
        at[t].has_neighbour = t + 1 < count && at[t].rows == side && column + 2 + side <= width &&
                              column + 2 < 2 * shape->tile_columns;
        column += 2;
        if (column == 2 * shape->tile_columns) {
            column = 0;
            row += 2;
        }
    }
}

// MARK: the maps, of one tile and of two

#define VECTOR lanes
#define INTS lane_ints
#define MAP(name) name
#include "winograd_maps.h"
#undef VECTOR
#undef INTS
#undef MAP

#define VECTOR wide_lanes
#define INTS wide_ints
#define MAP(name) wide_##name
#include "winograd_maps.h"
#undef VECTOR
#undef INTS
#undef MAP

// MARK: weights

// Computes G w G', with G = (1 0 0; 1/2 1/2 1/2; 1/2 -1/2 1/2; 0 0 1), for eight kernels.
CONVOY_INLINE void weight_points(const lanes w[9], lanes points[POINTS]) {
    lanes rows[SIDE][3];
    CONVOY_UNROLL
    for (int x = 0; x < 3; x++) {
        const lanes sum = w[x] + w[6 + x];
        rows[0][x] = w[x];
        rows[1][x] = 0.5f * (sum + w[3 + x]);
        rows[2][x] = 0.5f * (sum - w[3 + x]);
        rows[3][x] = w[6 + x];
    }
    CONVOY_UNROLL
    for (int y = 0; y < SIDE; y++) {
        const lanes sum = rows[y][0] + rows[y][2];
        points[y * SIDE] = rows[y][0];
        points[y * SIDE + 1] = 0.5f * (sum + rows[y][1]);
        points[y * SIDE + 2] = 0.5f * (sum - rows[y][1]);
        points[y * SIDE + 3] = rows[y][2];
    }
}

// Loads the kernels of eight channels, or of those that are left, one into each lane. Other lanes
// are zero.
CONVOY_INLINE void load_kernels(const float *weights, ptrdiff_t left, lanes w[9]) {
    if (left >= 8) {
        loose_lanes rows[8];
        CONVOY_UNROLL
        for (int j = 0; j < 8; j++) rows[j] = *(const loose_lanes *)(weights + j * 9);
        convoy_lane_transpose(rows);
        CONVOY_UNROLL
        for (int k = 0; k < 8; k++) w[k] = rows[k];
        CONVOY_UNROLL
        for (int j = 0; j < 8; j++) w[8][j] = weights[j * 9 + 8];
    } else {
        for (int k = 0; k < 9; k++) {
            for (int j = 0; j < 8; j++) w[k][j] = j < left ? weights[j * 9 + k] : 0.0f;
        }
    }
}

typedef float four __attribute__((ext_vector_type(4), aligned(4)));

// Writes the points of two outputs and eight channels: first[p] and second[p], as pairs.
CONVOY_INLINE void store_pairs(const lanes first[POINTS], const lanes second[POINTS],
                               ptrdiff_t left, float *to, ptrdiff_t point) {
    for (int p = 0; p < POINTS; p++) {
        const loose_lanes low =
            __builtin_shufflevector(first[p], second[p], 0, 8, 1, 9, 2, 10, 3, 11);
        const loose_lanes high =
            __builtin_shufflevector(first[p], second[p], 4, 12, 5, 13, 6, 14, 7, 15);
        if (left == 8) {
            *(loose_lanes *)(to + p * point) = low;
            *(loose_lanes *)(to + p * point + 8) = high;
        } else {
            for (int j = 0; j < left * ROWS; j++)
                to[p * point + j] = j < 8 ? low[j] : high[j - 8];
        }
    }
}

// Writes the same points with outputs and channels exchanged.
CONVOY_INLINE void store_transposed(const lanes first[POINTS], const lanes second[POINTS],
                                    ptrdiff_t left, int has_second, ptrdiff_t outputs, float *to,
                                    ptrdiff_t point) {
    for (int p = 0; p < POINTS; p++) {
        float *row = to + p * point;
        const four pairs[4] = {__builtin_shufflevector(first[p], second[p], 0, 1, 8, 9),
                               __builtin_shufflevector(first[p], second[p], 2, 3, 10, 11),
                               __builtin_shufflevector(first[p], second[p], 4, 5, 12, 13),
                               __builtin_shufflevector(first[p], second[p], 6, 7, 14, 15)};
        for (int j = 0; j < 4 && j * ROWS < left; j++) {
            if (has_second) {
                *(four *)(row + j * ROWS * outputs) = pairs[j];
            } else {
                row[j * ROWS * outputs] = pairs[j][0];
                row[j * ROWS * outputs + 1] = pairs[j][1];
            }
        }
    }
}

// Computes the points of outputs o and o + 1, or of o twice, and of channels from c on.
CONVOY_INLINE void pair_points(const float *weights, ptrdiff_t outputs, ptrdiff_t channels,
                               ptrdiff_t o, ptrdiff_t c, lanes first[POINTS],
                               lanes second[POINTS]) {
    const ptrdiff_t left = at_most(8, channels - c), next = o + 1 < outputs ? o + 1 : o;
    lanes w[9];
    load_kernels(weights + (o * channels + c) * 9, left, w);
    weight_points(w, first);
    load_kernels(weights + (next * channels + c) * 9, left, w);
    weight_points(w, second);
}

// Large layers are packed in two passes that compute the points twice. Each writes one layout in the
// order of its addresses, since their memory is far larger than a cache. For others the loop over
// the outputs is the inner one, so that outputs that follow one another fill the cache lines of the
// exchanged points.
CONVOY_INLINE void convoy_winograd_pack_body(const float *weights, ptrdiff_t outputs,
                                             ptrdiff_t channels, float *packed,
                                             float *transposed) {
    const ptrdiff_t point = convoy_winograd_packed_point(outputs, channels);
    const ptrdiff_t transposed_point = convoy_winograd_packed_point(channels, outputs);
    const int is_large = outputs * channels > LARGE_LAYER;
    lanes first[POINTS], second[POINTS];
    for (ptrdiff_t o = 0; is_large && o < outputs; o += ROWS) {
        for (ptrdiff_t c = 0; c < channels; c += 8) {
            pair_points(weights, outputs, channels, o, c, first, second);
            store_pairs(first, second, at_most(8, channels - c),
                        packed + o * channels + c * ROWS, point);
        }
    }
    if (is_large && !transposed) return;
    for (ptrdiff_t c = 0; c < channels; c += 8) {
        const ptrdiff_t left = at_most(8, channels - c);
        for (ptrdiff_t o = 0; o < outputs; o += ROWS) {
            pair_points(weights, outputs, channels, o, c, first, second);
            if (!is_large)
                store_pairs(first, second, left, packed + o * channels + c * ROWS, point);
            if (transposed)
                store_transposed(first, second, left, o + 1 < outputs, outputs,
                                 transposed + c * outputs + o * ROWS, transposed_point);
        }
    }
}

CONVOY_LANE_FUNCTION(convoy_winograd_pack,
                     (const float *weights, ptrdiff_t outputs, ptrdiff_t channels, float *packed,
                      float *transposed),
                     (weights, outputs, channels, packed, transposed))

CONVOY_INLINE void convoy_winograd_unpack_gradient_body(const float *points, ptrdiff_t count,
                                                        float *gradient) {
    const ptrdiff_t point = convoy_winograd_point(count);
    for (ptrdiff_t i = 0; i < count; i++) {
        float rows[3][SIDE];
        for (int x = 0; x < SIDE; x++) {
            const float p0 = points[x * point + i], p1 = points[(SIDE + x) * point + i];
            const float p2 = points[(2 * SIDE + x) * point + i];
            const float p3 = points[(3 * SIDE + x) * point + i];
            const float sum = 0.5f * (p1 + p2);
            rows[0][x] = p0 + sum;
            rows[1][x] = 0.5f * (p1 - p2);
            rows[2][x] = p3 + sum;
        }
        for (int y = 0; y < 3; y++) {
            const float sum = 0.5f * (rows[y][1] + rows[y][2]);
            gradient[i * 9 + y * 3] = rows[y][0] + sum;
            gradient[i * 9 + y * 3 + 1] = 0.5f * (rows[y][1] - rows[y][2]);
            gradient[i * 9 + y * 3 + 2] = rows[y][3] + sum;
        }
    }
}

CONVOY_LANE_FUNCTION(convoy_winograd_unpack_gradient,
                     (const float *points, ptrdiff_t count, float *gradient),
                     (points, count, gradient))

// MARK: input

// Computes B' d B.
CONVOY_INLINE void input_points(const lanes d[POINTS], lanes v[POINTS]) {
    lanes columns[SIDE][SIDE];
    CONVOY_UNROLL
    for (int x = 0; x < SIDE; x++) {
        const lanes column[SIDE] = {d[x], d[SIDE + x], d[2 * SIDE + x], d[3 * SIDE + x]};
        map_input(column, columns[x]);
    }
    CONVOY_UNROLL
    for (int y = 0; y < SIDE; y++) {
        const lanes row[SIDE] = {columns[0][y], columns[1][y], columns[2][y], columns[3][y]};
        map_input(row, v + y * SIDE);
    }
}

CONVOY_INLINE void load_tile(const float *source, ptrdiff_t width, const place *at,
                             lanes d[POINTS]) {
    const float *from = source + (at->row * width + at->column) * CONVOY_LANES;
    if (at->rows == SIDE && at->columns == SIDE) {
        CONVOY_UNROLL
        for (int y = 0; y < SIDE; y++) {
            CONVOY_UNROLL
            for (int x = 0; x < SIDE; x++)
                d[y * SIDE + x] = *(const lanes *)(from + (y * width + x) * CONVOY_LANES);
        }
    } else {
        for (int y = 0; y < SIDE; y++) {
            for (int x = 0; x < SIDE; x++) {
                const int is_inside = y < at->rows && x < at->columns;
                d[y * SIDE + x] = is_inside
                                      ? *(const lanes *)(from + (y * width + x) * CONVOY_LANES)
                                      : (lanes)(0.0f);
            }
        }
    }
}

// Maps one tile of a channel to its points.
CONVOY_INLINE void input_of_tile(const float *input, ptrdiff_t width, const place *at, float *to,
                                 ptrdiff_t point) {
    lanes d[POINTS], v[POINTS];
    load_tile(input, width, at, d);
    input_points(d, v);
    CONVOY_UNROLL
    for (int p = 0; p < POINTS; p++) *(lanes *)(to + p * point) = v[p];
}

CONVOY_INLINE void convoy_winograd_input_body(const float *input,
                                              const convoy_winograd_shape *shape, ptrdiff_t first,
                                              ptrdiff_t count, float *points) {
    const ptrdiff_t plane = shape->input_height * shape->input_width * CONVOY_LANES;
    const ptrdiff_t point = convoy_winograd_point(shape->channels * count * CONVOY_LANES);
    place at[CONVOY_WINOGRAD_TILES];
    tile_places(shape, first, count, SIDE, shape->input_height, shape->input_width, at);
    for (ptrdiff_t c = 0; c < shape->channels; c++) {
        for (ptrdiff_t t = 0; t < count; t++)
            input_of_tile(input + c * plane, shape->input_width, at + t,
                          points + (c * count + t) * CONVOY_LANES, point);
    }
}

// Maps one tile of eight channels, and transposes channels and images.
CONVOY_INLINE void input_of_eight_channels(const float *input, const convoy_winograd_shape *shape,
                                           const place *at, float *to, ptrdiff_t point) {
    const ptrdiff_t plane = shape->input_height * shape->input_width * CONVOY_LANES;
    lanes v[8][POINTS];
    for (int j = 0; j < 8; j++) {
        lanes d[POINTS];
        load_tile(input + j * plane, shape->input_width, at, d);
        input_points(d, v[j]);
    }
    for (int p = 0; p < POINTS; p++) {
        loose_lanes rows[8];
        CONVOY_UNROLL
        for (int j = 0; j < 8; j++) rows[j] = v[j][p];
        convoy_lane_transpose(rows);
        CONVOY_UNROLL
        for (int j = 0; j < 8; j++) *(lanes *)(to + p * point + j * 8) = rows[j];
    }
}

CONVOY_INLINE void convoy_winograd_input_by_image_body(const float *input,
                                                       const convoy_winograd_shape *shape,
                                                       ptrdiff_t first, ptrdiff_t count,
                                                       float *points) {
    const ptrdiff_t plane = shape->input_height * shape->input_width * CONVOY_LANES;
    const ptrdiff_t block = count * CONVOY_LANES * 8;
    const ptrdiff_t point = convoy_winograd_point(shape->channels / 8 * block);
    place at[CONVOY_WINOGRAD_TILES];
    tile_places(shape, first, count, SIDE, shape->input_height, shape->input_width, at);
    for (ptrdiff_t c = 0; c < shape->channels; c += 8) {
        for (ptrdiff_t t = 0; t < count; t++)
            input_of_eight_channels(input + c * plane, shape, at + t,
                                    points + c / 8 * block + t * CONVOY_LANES * 8, point);
    }
}

CONVOY_LANE_FUNCTION(convoy_winograd_input_by_image,
                     (const float *input, const convoy_winograd_shape *shape, ptrdiff_t first,
                      ptrdiff_t count, float *points),
                     (input, shape, first, count, points))

// MARK: products

// Multiplies two rows of weights by `width` tiles.
CONVOY_INLINE void product_block(const float *weights, const float *from, ptrdiff_t depth,
                                 int width, float *to, ptrdiff_t stored) {
    lanes sum[ROWS][6];
    CONVOY_UNROLL
    for (int o = 0; o < ROWS; o++) {
        CONVOY_UNROLL
        for (int t = 0; t < width; t++) sum[o][t] = (lanes)(0.0f);
    }
    for (ptrdiff_t c = 0; c < depth; c++) {
        const lanes first = (lanes)(weights[0]), second = (lanes)(weights[1]);
        CONVOY_UNROLL
        for (int t = 0; t < width; t++) {
            const lanes x = *(const lanes *)(from + t * CONVOY_LANES);
            sum[0][t] = convoy_fma(first, x, sum[0][t]);
            sum[1][t] = convoy_fma(second, x, sum[1][t]);
        }
        weights += ROWS;
        from += width * CONVOY_LANES;
    }
    CONVOY_UNROLL
    for (int o = 0; o < ROWS; o++) {
        if (o >= stored) break;
        CONVOY_UNROLL
        for (int t = 0; t < width; t++)
            *(lanes *)(to + (o * width + t) * CONVOY_LANES) = sum[o][t];
    }
}

CONVOY_INLINE void product(const float *weights, const float *from, ptrdiff_t rows, ptrdiff_t depth,
                           int width, float *to) {
    for (ptrdiff_t o = 0; o < rows; o += ROWS) {
        product_block(weights + o * depth, from, depth, width, to + o * width * CONVOY_LANES,
                      rows - o);
    }
}

CONVOY_INLINE void convoy_winograd_multiply_body(const float *weights, const float *from,
                                                 ptrdiff_t rows, ptrdiff_t depth, ptrdiff_t width,
                                                 float *to) {
    switch (width) {
    case 6: product(weights, from, rows, depth, 6, to); break;
    case 5: product(weights, from, rows, depth, 5, to); break;
    case 4: product(weights, from, rows, depth, 4, to); break;
    case 3: product(weights, from, rows, depth, 3, to); break;
    case 2: product(weights, from, rows, depth, 2, to); break;
    default: product(weights, from, rows, depth, 1, to); break;
    }
}

// Multiplies `height` output channels by `width` vectors of eight channels.
CONVOY_INLINE void gradient_product_block(const float *output_gradient, const float *input,
                                          ptrdiff_t depth, ptrdiff_t channels, int height,
                                          int width, float *gradient, int adds) {
    lanes sum[3][4];
    CONVOY_UNROLL
    for (int o = 0; o < height; o++) {
        CONVOY_UNROLL
        for (int c = 0; c < width; c++)
            sum[o][c] = adds ? *(const lanes *)(gradient + o * channels + c * 8) : (lanes)(0.0f);
    }
    for (ptrdiff_t k = 0; k < depth; k++) {
        lanes factor[3];
        CONVOY_UNROLL
        for (int o = 0; o < height; o++) factor[o] = (lanes)(output_gradient[o * depth + k]);
        CONVOY_UNROLL
        for (int c = 0; c < width; c++) {
            const lanes x = *(const lanes *)(input + (c * depth + k) * 8);
            CONVOY_UNROLL
            for (int o = 0; o < height; o++) sum[o][c] = convoy_fma(factor[o], x, sum[o][c]);
        }
    }
    CONVOY_UNROLL
    for (int o = 0; o < height; o++) {
        CONVOY_UNROLL
        for (int c = 0; c < width; c++)
            *(lanes *)(gradient + o * channels + c * 8) = sum[o][c];
    }
}

CONVOY_INLINE void gradient_product_rows(const float *output_gradient, const float *input,
                                         ptrdiff_t outputs, ptrdiff_t depth, ptrdiff_t channels,
                                         int width, float *gradient, int adds) {
    ptrdiff_t o = 0;
    for (; o + 3 <= outputs; o += 3) {
        gradient_product_block(output_gradient + o * depth, input, depth, channels, 3, width,
                               gradient + o * channels, adds);
    }
    for (; o < outputs; o++) {
        gradient_product_block(output_gradient + o * depth, input, depth, channels, 1, width,
                               gradient + o * channels, adds);
    }
}

CONVOY_INLINE void convoy_winograd_multiply_gradient_body(const float *output_gradient,
                                                          const float *input, ptrdiff_t outputs,
                                                          ptrdiff_t channels, ptrdiff_t depth,
                                                          float *gradient, int adds) {
    ptrdiff_t c = 0;
    for (; c + 32 <= channels; c += 32) {
        gradient_product_rows(output_gradient, input + c * depth, outputs, depth, channels, 4,
                              gradient + c, adds);
    }
    for (; c < channels; c += 8) {
        gradient_product_rows(output_gradient, input + c * depth, outputs, depth, channels, 1,
                              gradient + c, adds);
    }
}

// MARK: output

// Writes the outputs of one tile of a channel, as far as they lie inside the image.
CONVOY_INLINE void output_of_tile(const float *points, ptrdiff_t point, const float *bias,
                                  const place *at, ptrdiff_t width, int relu, float *output) {
    lanes y[4];
    output_values(points, point, bias, y);
    for (int r = 0; r < at->rows; r++) {
        for (int c = 0; c < at->columns; c++) {
            lanes value = y[r * 2 + c];
            if (relu) value = value < 0 ? (lanes)(0.0f) : value;
            *(lanes *)(output + ((at->row + r) * width + at->column + c) * CONVOY_LANES) = value;
        }
    }
}

CONVOY_INLINE void convoy_winograd_output_body(const float *points, const float *bias,
                                               const convoy_winograd_shape *shape, ptrdiff_t first,
                                               ptrdiff_t count, int relu, float *output) {
    const ptrdiff_t plane = shape->output_height * shape->output_width * CONVOY_LANES;
    const ptrdiff_t point = convoy_winograd_point(shape->outputs * count * CONVOY_LANES);
    place at[CONVOY_WINOGRAD_TILES];
    tile_places(shape, first, count, 2, shape->output_height, shape->output_width, at);
    for (ptrdiff_t o = 0; o < shape->outputs; o++) {
        for (ptrdiff_t t = 0; t < count; t++)
            output_of_tile(points + (o * count + t) * CONVOY_LANES, point, bias + o, at + t,
                           shape->output_width, relu, output + o * plane);
    }
}

CONVOY_INLINE void convoy_winograd_output_pooled_body(const float *points, const float *bias,
                                                      const convoy_winograd_shape *shape,
                                                      ptrdiff_t first, ptrdiff_t count, int relu,
                                                      float *output, int32_t *choice) {
    const ptrdiff_t tiles = shape->tile_rows * shape->tile_columns;
    const ptrdiff_t point = convoy_winograd_point(shape->outputs * count * CONVOY_LANES);
    for (ptrdiff_t o = 0; o < shape->outputs; o++) {
        const ptrdiff_t start = (o * tiles + first) * CONVOY_LANES;
        for (ptrdiff_t t = 0; t < count; t++) {
            pooled_output(points + (o * count + t) * CONVOY_LANES, point, bias + o, relu,
                          output + start + t * CONVOY_LANES, choice + start + t * CONVOY_LANES);
        }
    }
}

// Maps the gradient of one tile of a channel; what lies outside the image counts as zero.
CONVOY_INLINE void gradient_of_tile(const float *gradient, const place *at, ptrdiff_t width,
                                    float *to, ptrdiff_t point) {
    const float *from = gradient + (at->row * width + at->column) * CONVOY_LANES;
    lanes g[4];
    for (int r = 0; r < 2; r++) {
        for (int c = 0; c < 2; c++) {
            const int is_inside = r < at->rows && c < at->columns;
            g[r * 2 + c] = is_inside ? *(const lanes *)(from + (r * width + c) * CONVOY_LANES)
                                     : (lanes)(0.0f);
        }
    }
    gradient_points(g, to, point);
}

CONVOY_INLINE void convoy_winograd_output_gradient_body(const float *gradient,
                                                        const convoy_winograd_shape *shape,
                                                        ptrdiff_t first, ptrdiff_t count,
                                                        float *points) {
    const ptrdiff_t plane = shape->output_height * shape->output_width * CONVOY_LANES;
    const ptrdiff_t point = convoy_winograd_point(shape->outputs * count * CONVOY_LANES);
    place at[CONVOY_WINOGRAD_TILES];
    tile_places(shape, first, count, 2, shape->output_height, shape->output_width, at);
    for (ptrdiff_t o = 0; o < shape->outputs; o++) {
        for (ptrdiff_t t = 0; t < count; t++)
            gradient_of_tile(gradient + o * plane, at + t, shape->output_width,
                             points + (o * count + t) * CONVOY_LANES, point);
    }
}

CONVOY_INLINE void convoy_winograd_pooled_gradient_body(const float *gradient,
                                                        const int32_t *choice,
                                                        const convoy_winograd_shape *shape,
                                                        ptrdiff_t first, ptrdiff_t count,
                                                        float *points) {
    const ptrdiff_t tiles = shape->tile_rows * shape->tile_columns;
    const ptrdiff_t point = convoy_winograd_point(shape->outputs * count * CONVOY_LANES);
    for (ptrdiff_t o = 0; o < shape->outputs; o++) {
        const ptrdiff_t start = (o * tiles + first) * CONVOY_LANES;
        for (ptrdiff_t t = 0; t < count; t++) {
            pooled_gradient(gradient + start + t * CONVOY_LANES, choice + start + t * CONVOY_LANES,
                            points + (o * count + t) * CONVOY_LANES, point);
        }
    }
}

// Computes B v B' of one tile and adds it to the gradient of a channel of the input.
CONVOY_INLINE void input_gradient_of_tile(const float *from, ptrdiff_t point, const place *at,
                                          ptrdiff_t width, float *gradient) {
    float *to = gradient + (at->row * width + at->column) * CONVOY_LANES;
    lanes d[SIDE][SIDE];
    input_gradient_values(from, point, d);
    if (at->rows == SIDE && at->columns == SIDE) {
        CONVOY_UNROLL
        for (int y = 0; y < SIDE; y++) {
            CONVOY_UNROLL
            for (int x = 0; x < SIDE; x++) {
                lanes *cell = (lanes *)(to + (y * width + x) * CONVOY_LANES);
                *cell = *cell + d[y][x];
            }
        }
    } else {
        for (int y = 0; y < at->rows; y++) {
            for (int x = 0; x < at->columns; x++) {
                lanes *cell = (lanes *)(to + (y * width + x) * CONVOY_LANES);
                *cell = *cell + d[y][x];
            }
        }
    }
}

CONVOY_INLINE void convoy_winograd_input_gradient_body(const float *points,
                                                       const convoy_winograd_shape *shape,
                                                       ptrdiff_t first, ptrdiff_t count,
                                                       float *gradient) {
    const ptrdiff_t plane = shape->input_height * shape->input_width * CONVOY_LANES;
    const ptrdiff_t point = convoy_winograd_point(shape->channels * count * CONVOY_LANES);
    place at[CONVOY_WINOGRAD_TILES];
    tile_places(shape, first, count, SIDE, shape->input_height, shape->input_width, at);
    for (ptrdiff_t c = 0; c < shape->channels; c++) {
        for (ptrdiff_t t = 0; t < count; t++)
            input_gradient_of_tile(points + (c * count + t) * CONVOY_LANES, point, at + t,
                                   shape->input_width, gradient + c * plane);
    }
}

// MARK: the functions with wide registers

#include "lane_winograd_wide.h"

CONVOY_WIDE_FUNCTION(convoy_winograd_input,
                     (const float *input, const convoy_winograd_shape *shape, ptrdiff_t first,
                      ptrdiff_t count, float *points),
                     (input, shape, first, count, points))

CONVOY_WIDE_FUNCTION(convoy_winograd_multiply,
                     (const float *weights, const float *from, ptrdiff_t rows, ptrdiff_t depth,
                      ptrdiff_t width, float *to),
                     (weights, from, rows, depth, width, to))

CONVOY_WIDE_FUNCTION(convoy_winograd_multiply_gradient,
                     (const float *output_gradient, const float *input, ptrdiff_t outputs,
                      ptrdiff_t channels, ptrdiff_t depth, float *gradient, int adds),
                     (output_gradient, input, outputs, channels, depth, gradient, adds))

CONVOY_WIDE_FUNCTION(convoy_winograd_output,
                     (const float *points, const float *bias, const convoy_winograd_shape *shape,
                      ptrdiff_t first, ptrdiff_t count, int relu, float *output),
                     (points, bias, shape, first, count, relu, output))

CONVOY_WIDE_FUNCTION(convoy_winograd_output_gradient,
                     (const float *gradient, const convoy_winograd_shape *shape, ptrdiff_t first,
                      ptrdiff_t count, float *points),
                     (gradient, shape, first, count, points))

CONVOY_WIDE_FUNCTION(convoy_winograd_input_gradient,
                     (const float *points, const convoy_winograd_shape *shape, ptrdiff_t first,
                      ptrdiff_t count, float *gradient),
                     (points, shape, first, count, gradient))

CONVOY_WIDE_FUNCTION(convoy_winograd_output_pooled,
                     (const float *points, const float *bias, const convoy_winograd_shape *shape,
                      ptrdiff_t first, ptrdiff_t count, int relu, float *output, int32_t *choice),
                     (points, bias, shape, first, count, relu, output, choice))

CONVOY_WIDE_FUNCTION(convoy_winograd_pooled_gradient,
                     (const float *gradient, const int32_t *choice,
                      const convoy_winograd_shape *shape, ptrdiff_t first, ptrdiff_t count,
                      float *points),
                     (gradient, choice, shape, first, count, points))
