// The functions of lane_winograd.c for registers of sixteen numbers, which hold two tiles of eight
// images, or the points of eight channels twice. Every number is made by the same operations in the
// same order as there. Two tiles are mapped together where they lie side by side and wholly inside
// the image.
#ifndef CONVOY_LANE_WINOGRAD_WIDE_H
#define CONVOY_LANE_WINOGRAD_WIDE_H

#include "lanes.h"
#include "winograd_kernels.h"

#pragma STDC FP_CONTRACT OFF

// MARK: input

// Computes B' d B of two tiles, which share two of their columns.
CONVOY_INLINE void wide_input_points(const float *input, ptrdiff_t width, const place *at,
                                     wide_lanes v[POINTS]) {
    const float *from = input + (at->row * width + at->column) * CONVOY_LANES;
    wide_lanes columns[3][SIDE];
    CONVOY_UNROLL
    for (int x = 0; x < 3; x++) {
        wide_lanes d[SIDE];
        CONVOY_UNROLL
        for (int y = 0; y < SIDE; y++)
            d[y] = *(const wide_lanes *)(from + (y * width + 2 * x) * CONVOY_LANES);
        wide_map_input(d, columns[x]);
    }
    CONVOY_UNROLL
    for (int y = 0; y < SIDE; y++) {
        const wide_lanes left = columns[0][y], middle = columns[1][y], right = columns[2][y];
        const wide_lanes row[SIDE] = {convoy_lows(left, middle), convoy_highs(left, middle),
                                      convoy_lows(middle, right), convoy_highs(middle, right)};
        wide_map_input(row, v + y * SIDE);
    }
}

CONVOY_INLINE void convoy_winograd_input_wide_body(const float *input,
                                                   const convoy_winograd_shape *shape,
                                                   ptrdiff_t first, ptrdiff_t count,
                                                   float *points) {
    const ptrdiff_t plane = shape->input_height * shape->input_width * CONVOY_LANES;
    const ptrdiff_t point = convoy_winograd_point(shape->channels * count * CONVOY_LANES);
    place at[CONVOY_WINOGRAD_TILES];
    tile_places(shape, first, count, SIDE, shape->input_height, shape->input_width, at);
    for (ptrdiff_t c = 0; c < shape->channels; c++) {
        for (ptrdiff_t t = 0; t < count; t++) {
            float *to = points + (c * count + t) * CONVOY_LANES;
            if (!at[t].has_neighbour) {
                input_of_tile(input + c * plane, shape->input_width, at + t, to, point);
                continue;
            }
            wide_lanes v[POINTS];
            wide_input_points(input + c * plane, shape->input_width, at + t, v);
            CONVOY_UNROLL
            for (int p = 0; p < POINTS; p++) *(wide_lanes *)(to + p * point) = v[p];
            t++;
        }
    }
}

// MARK: products

// Multiplies some pairs of rows of weights by `width` tiles, at least two. Of an odd number of
// tiles the last but one is computed twice.
CONVOY_INLINE void wide_product_block(const float *weights, const float *from, ptrdiff_t depth,
                                      int width, int pairs, float *to, ptrdiff_t stored) {
    const int vectors = (width + 1) / 2;
    wide_lanes sum[8][3];
    int places[3];
    CONVOY_UNROLL
    for (int v = 0; v < vectors; v++)
        places[v] = (2 * v + 2 <= width ? 2 * v : width - 2) * CONVOY_LANES;
    CONVOY_UNROLL
    for (int o = 0; o < pairs * ROWS; o++) {
        CONVOY_UNROLL
        for (int v = 0; v < vectors; v++) sum[o][v] = (wide_lanes)(0.0f);
    }
    for (ptrdiff_t c = 0; c < depth; c++) {
        wide_lanes x[3];
        CONVOY_UNROLL
        for (int v = 0; v < vectors; v++) x[v] = *(const wide_lanes *)(from + places[v]);
        CONVOY_UNROLL
        for (int o = 0; o < pairs * ROWS; o++) {
            const wide_lanes factor = (wide_lanes)(weights[o / ROWS * ROWS * depth + o % ROWS]);
            CONVOY_UNROLL
            for (int v = 0; v < vectors; v++) sum[o][v] = convoy_fma(factor, x[v], sum[o][v]);
        }
        weights += ROWS;
        from += width * CONVOY_LANES;
    }
    CONVOY_UNROLL
    for (int o = 0; o < pairs * ROWS; o++) {
        if (o >= stored) break;
        CONVOY_UNROLL
        for (int v = 0; v < vectors; v++)
            *(wide_lanes *)(to + o * width * CONVOY_LANES + places[v]) = sum[o][v];
    }
}

CONVOY_INLINE void wide_product(const float *weights, const float *from, ptrdiff_t rows,
                                ptrdiff_t depth, int width, float *to) {
    ptrdiff_t o = 0;
    for (; o + 8 <= rows; o += 8)
        wide_product_block(weights + o * depth, from, depth, width, 4,
                           to + o * width * CONVOY_LANES, 8);
    for (; o < rows; o += ROWS)
        wide_product_block(weights + o * depth, from, depth, width, 1,
                           to + o * width * CONVOY_LANES, rows - o);
}

CONVOY_INLINE void convoy_winograd_multiply_wide_body(const float *weights, const float *from,
                                                      ptrdiff_t rows, ptrdiff_t depth,
                                                      ptrdiff_t width, float *to) {
    switch (width) {
    case 6: wide_product(weights, from, rows, depth, 6, to); break;
    case 5: wide_product(weights, from, rows, depth, 5, to); break;
    case 4: wide_product(weights, from, rows, depth, 4, to); break;
    case 3: wide_product(weights, from, rows, depth, 3, to); break;
    case 2: wide_product(weights, from, rows, depth, 2, to); break;
    default: product(weights, from, rows, depth, 1, to); break;
    }
}

// Multiplies `height` output channels by `pairs` pairs of vectors of eight channels.
CONVOY_INLINE void wide_gradient_block(const float *output_gradient, const float *input,
                                       ptrdiff_t depth, ptrdiff_t channels, int height, int pairs,
                                       float *gradient, int adds) {
    wide_lanes sum[16][2];
    CONVOY_UNROLL
    for (int o = 0; o < height; o++) {
        CONVOY_UNROLL
        for (int c = 0; c < pairs; c++)
            sum[o][c] = adds ? *(const wide_lanes *)(gradient + o * channels + c * 16)
                             : (wide_lanes)(0.0f);
    }
    for (ptrdiff_t k = 0; k < depth; k++) {
        wide_lanes x[2];
        CONVOY_UNROLL
        for (int c = 0; c < pairs; c++) {
            const float *from = input + (2 * c * depth + k) * 8;
            x[c] = convoy_join(*(const lanes *)from, *(const lanes *)(from + depth * 8));
        }
        CONVOY_UNROLL
        for (int o = 0; o < height; o++) {
            const wide_lanes factor = (wide_lanes)(output_gradient[o * depth + k]);
            CONVOY_UNROLL
            for (int c = 0; c < pairs; c++) sum[o][c] = convoy_fma(factor, x[c], sum[o][c]);
        }
    }
    CONVOY_UNROLL
    for (int o = 0; o < height; o++) {
        CONVOY_UNROLL
        for (int c = 0; c < pairs; c++)
            *(wide_lanes *)(gradient + o * channels + c * 16) = sum[o][c];
    }
}

CONVOY_INLINE void wide_gradient_rows(const float *output_gradient, const float *input,
                                      ptrdiff_t outputs, ptrdiff_t depth, ptrdiff_t channels,
                                      int pairs, float *gradient, int adds) {
    ptrdiff_t o = 0;
    const int tallest = pairs == 2 ? 12 : 16;
    for (; o + tallest <= outputs; o += tallest)
        wide_gradient_block(output_gradient + o * depth, input, depth, channels, tallest, pairs,
                            gradient + o * channels, adds);
    for (; o + 8 <= outputs; o += 8)
        wide_gradient_block(output_gradient + o * depth, input, depth, channels, 8, pairs,
                            gradient + o * channels, adds);
    for (; o + 4 <= outputs; o += 4)
        wide_gradient_block(output_gradient + o * depth, input, depth, channels, 4, pairs,
                            gradient + o * channels, adds);
    for (; o < outputs; o++)
        wide_gradient_block(output_gradient + o * depth, input, depth, channels, 1, pairs,
                            gradient + o * channels, adds);
}

CONVOY_INLINE void convoy_winograd_multiply_gradient_wide_body(const float *output_gradient,
                                                               const float *input,
                                                               ptrdiff_t outputs,
                                                               ptrdiff_t channels, ptrdiff_t depth,
                                                               float *gradient, int adds) {
    ptrdiff_t c = 0;
    for (; c + 32 <= channels; c += 32)
        wide_gradient_rows(output_gradient, input + c * depth, outputs, depth, channels, 2,
                           gradient + c, adds);
    for (; c + 16 <= channels; c += 16)
        wide_gradient_rows(output_gradient, input + c * depth, outputs, depth, channels, 1,
                           gradient + c, adds);
    if (c < channels)
        gradient_product_rows(output_gradient, input + c * depth, outputs, depth, channels, 1,
                              gradient + c, adds);
}

// MARK: output

CONVOY_INLINE void convoy_winograd_output_wide_body(const float *points, const float *bias,
                                                    const convoy_winograd_shape *shape,
                                                    ptrdiff_t first, ptrdiff_t count, int relu,
                                                    float *output) {
    const ptrdiff_t width = shape->output_width;
    const ptrdiff_t plane = shape->output_height * width * CONVOY_LANES;
    const ptrdiff_t point = convoy_winograd_point(shape->outputs * count * CONVOY_LANES);
    place at[CONVOY_WINOGRAD_TILES];
    tile_places(shape, first, count, 2, shape->output_height, width, at);
    for (ptrdiff_t o = 0; o < shape->outputs; o++) {
        for (ptrdiff_t t = 0; t < count; t++) {
            const float *from = points + (o * count + t) * CONVOY_LANES;
            if (!at[t].has_neighbour) {
                output_of_tile(from, point, bias + o, at + t, width, relu, output + o * plane);
                continue;
            }
            wide_lanes y[4];
            wide_output_values(from, point, bias + o, y);
            float *to = output + o * plane + (at[t].row * width + at[t].column) * CONVOY_LANES;
            CONVOY_UNROLL
            for (int r = 0; r < 2; r++) {
                const wide_lanes left = y[2 * r], right = y[2 * r + 1];
                wide_lanes row[2] = {convoy_lows(left, right), convoy_highs(left, right)};
                CONVOY_UNROLL
                for (int i = 0; i < 2; i++) {
                    if (relu) row[i] = row[i] < 0 ? (wide_lanes)(0.0f) : row[i];
                    *(wide_lanes *)(to + (r * width + 2 * i) * CONVOY_LANES) = row[i];
                }
            }
            t++;
        }
    }
}

CONVOY_INLINE void convoy_winograd_output_pooled_wide_body(
    const float *points, const float *bias, const convoy_winograd_shape *shape, ptrdiff_t first,
    ptrdiff_t count, int relu, float *output, int32_t *choice) {
    const ptrdiff_t tiles = shape->tile_rows * shape->tile_columns;
    const ptrdiff_t point = convoy_winograd_point(shape->outputs * count * CONVOY_LANES);
    for (ptrdiff_t o = 0; o < shape->outputs; o++) {
        const float *from = points + o * count * CONVOY_LANES;
        float *to = output + (o * tiles + first) * CONVOY_LANES;
        int32_t *place = choice + (o * tiles + first) * CONVOY_LANES;
        ptrdiff_t t = 0;
        for (; t + 2 <= count; t += 2) {
            wide_pooled_output(from + t * CONVOY_LANES, point, bias + o, relu,
                               to + t * CONVOY_LANES, place + t * CONVOY_LANES);
        }
        if (t < count)
            pooled_output(from + t * CONVOY_LANES, point, bias + o, relu, to + t * CONVOY_LANES,
                          place + t * CONVOY_LANES);
    }
}

CONVOY_INLINE void convoy_winograd_output_gradient_wide_body(const float *gradient,
                                                             const convoy_winograd_shape *shape,
                                                             ptrdiff_t first, ptrdiff_t count,
                                                             float *points) {
    const ptrdiff_t width = shape->output_width;
    const ptrdiff_t plane = shape->output_height * width * CONVOY_LANES;
    const ptrdiff_t point = convoy_winograd_point(shape->outputs * count * CONVOY_LANES);
    place at[CONVOY_WINOGRAD_TILES];
    tile_places(shape, first, count, 2, shape->output_height, width, at);
    for (ptrdiff_t o = 0; o < shape->outputs; o++) {
        for (ptrdiff_t t = 0; t < count; t++) {
            float *to = points + (o * count + t) * CONVOY_LANES;
            if (!at[t].has_neighbour) {
                gradient_of_tile(gradient + o * plane, at + t, width, to, point);
                continue;
            }
            wide_lanes g[4];
            CONVOY_UNROLL
            for (int r = 0; r < 2; r++) {
                const float *row = gradient + o * plane +
                                   ((at[t].row + r) * width + at[t].column) * CONVOY_LANES;
                const wide_lanes left = *(const wide_lanes *)row;
                const wide_lanes right = *(const wide_lanes *)(row + 2 * CONVOY_LANES);
                g[2 * r] = convoy_lows(left, right);
                g[2 * r + 1] = convoy_highs(left, right);
            }
            wide_gradient_points(g, to, point);
            t++;
        }
    }
}

CONVOY_INLINE void convoy_winograd_pooled_gradient_wide_body(
    const float *gradient, const int32_t *choice, const convoy_winograd_shape *shape,
    ptrdiff_t first, ptrdiff_t count, float *points) {
    const ptrdiff_t tiles = shape->tile_rows * shape->tile_columns;
    const ptrdiff_t point = convoy_winograd_point(shape->outputs * count * CONVOY_LANES);
    for (ptrdiff_t o = 0; o < shape->outputs; o++) {
        const float *from = gradient + (o * tiles + first) * CONVOY_LANES;
        const int32_t *place = choice + (o * tiles + first) * CONVOY_LANES;
        float *to = points + o * count * CONVOY_LANES;
        ptrdiff_t t = 0;
        for (; t + 2 <= count; t += 2) {
            wide_pooled_gradient(from + t * CONVOY_LANES, place + t * CONVOY_LANES,
                                 to + t * CONVOY_LANES, point);
        }
        if (t < count)
            pooled_gradient(from + t * CONVOY_LANES, place + t * CONVOY_LANES,
                            to + t * CONVOY_LANES, point);
    }
}

// Computes B v B' of two tiles and adds it to the gradient of a channel of the input. The first
// tile reaches four columns, and the second one the last two of these and two more. What the first
// tile gives is added first.
CONVOY_INLINE void wide_input_gradient(const float *from, ptrdiff_t point, const place *at,
                                       ptrdiff_t width, float *gradient) {
    wide_lanes d[SIDE][SIDE];
    wide_input_gradient_values(from, point, d);
    CONVOY_UNROLL
    for (int y = 0; y < SIDE; y++) {
        wide_lanes *cells =
            (wide_lanes *)(gradient + ((at->row + y) * width + at->column) * CONVOY_LANES);
        cells[0] = cells[0] + convoy_lows(d[y][0], d[y][1]);
        cells[1] = (cells[1] + convoy_lows(d[y][2], d[y][3])) + convoy_highs(d[y][0], d[y][1]);
        cells[2] = cells[2] + convoy_highs(d[y][2], d[y][3]);
    }
}

CONVOY_INLINE void convoy_winograd_input_gradient_wide_body(const float *points,
                                                            const convoy_winograd_shape *shape,
                                                            ptrdiff_t first, ptrdiff_t count,
                                                            float *gradient) {
    const ptrdiff_t width = shape->input_width;
    const ptrdiff_t plane = shape->input_height * width * CONVOY_LANES;
    const ptrdiff_t point = convoy_winograd_point(shape->channels * count * CONVOY_LANES);
    place at[CONVOY_WINOGRAD_TILES];
    tile_places(shape, first, count, SIDE, shape->input_height, width, at);
    for (ptrdiff_t c = 0; c < shape->channels; c++) {
        for (ptrdiff_t t = 0; t < count; t++) {
            const float *from = points + (c * count + t) * CONVOY_LANES;
            if (!at[t].has_neighbour) {
                input_gradient_of_tile(from, point, at + t, width, gradient + c * plane);
                continue;
            }
            wide_input_gradient(from, point, at + t, width, gradient + c * plane);
            t++;
        }
    }
}

#endif
