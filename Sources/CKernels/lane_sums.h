#ifndef CONVOY_LANE_SUMS_H
#define CONVOY_LANE_SUMS_H

#include "lanes.h"

#pragma STDC FP_CONTRACT OFF

/// Eight double-precision numbers, one of each of eight images.
typedef double double_lanes __attribute__((ext_vector_type(8), aligned(32)));

/// The number of positions that are summed in float before the sum is added to a total in double.
enum { CONVOY_SUM_BLOCK = 16 };

/// Returns the sum of eight lanes, in the order of `convoy_lane_sum`.
CONVOY_INLINE double convoy_double_lane_sum(const double_lanes *v) {
    double h[4];
    CONVOY_UNROLL
    for (int i = 0; i < 4; i++) h[i] = (*v)[i] + (*v)[i + 4];
    return (h[0] + h[2]) + (h[1] + h[3]);
}

/// Sets the lanes of images to all ones, and those of padding to zero.
CONVOY_INLINE void convoy_lane_mask(ptrdiff_t count, lane_ints *mask) {
    CONVOY_UNROLL
    for (int i = 0; i < CONVOY_LANES; i++) (*mask)[i] = i < count ? -1 : 0;
}

/// Adds the two chains of a block, and adds their sum to a total.
CONVOY_INLINE void convoy_end_block(double_lanes *total, const lanes chain[2]) {
    *total = *total + __builtin_convertvector(chain[0] + chain[1], double_lanes);
}

/// Runs BLOCK(begin, size) for all blocks of positions; `size` is a constant but for the last one.
#define CONVOY_FOR_BLOCKS(positions, BLOCK)                                                        \
    {                                                                                              \
        ptrdiff_t begin = 0;                                                                       \
        for (; begin + CONVOY_SUM_BLOCK <= (positions); begin += CONVOY_SUM_BLOCK)                 \
            BLOCK(begin, CONVOY_SUM_BLOCK);                                                        \
        if (begin < (positions)) BLOCK(begin, (positions)-begin);                                  \
    }

CONVOY_INLINE void convoy_load_masked(const lanes *x, const lane_ints *mask, lanes *value) {
    *value = mask ? (lanes)((lane_ints)*x & *mask) : *x;
}

CONVOY_INLINE void convoy_sum_block(const lanes *x, ptrdiff_t size, const lane_ints *mask,
                                    double_lanes *total) {
    lanes chain[2] = {(lanes)(0.0f), (lanes)(0.0f)}, value;
    for (ptrdiff_t p = 0; p < size; p += 2) {
        convoy_load_masked(x + p, mask, &value);
        chain[0] = chain[0] + value;
        if (p + 1 == size) break;
        convoy_load_masked(x + p + 1, mask, &value);
        chain[1] = chain[1] + value;
    }
    convoy_end_block(total, chain);
}

/// Adds the sum of x over all positions to a total. Lanes outside the mask count as 0; without a
/// mask all lanes count.
CONVOY_INLINE void convoy_sum(const lanes *x, ptrdiff_t positions, const lane_ints *mask,
                              double_lanes *total) {
#define BLOCK(begin, size) convoy_sum_block(x + begin, size, mask, total)
    CONVOY_FOR_BLOCKS(positions, BLOCK)
#undef BLOCK
}

CONVOY_INLINE void convoy_squares_block(const lanes *x, ptrdiff_t size, const lane_ints *mask,
                                        const lanes *center, double_lanes *total,
                                        double_lanes *squares) {
    lanes sums[2] = {(lanes)(0.0f), (lanes)(0.0f)}, chain[2] = {(lanes)(0.0f), (lanes)(0.0f)};
    lanes value;
    for (ptrdiff_t p = 0; p < size; p += 2) {
        value = x[p] - *center;
        convoy_load_masked(&value, mask, &value);
        sums[0] = sums[0] + value;
        chain[0] = convoy_fma(value, value, chain[0]);
        if (p + 1 == size) break;
        value = x[p + 1] - *center;
        convoy_load_masked(&value, mask, &value);
        sums[1] = sums[1] + value;
        chain[1] = convoy_fma(value, value, chain[1]);
    }
    convoy_end_block(total, sums);
    convoy_end_block(squares, chain);
}

/// Adds the sums of x - center and of (x - center)^2 over all positions to two totals.
CONVOY_INLINE void convoy_sum_squares(const lanes *x, ptrdiff_t positions, const lane_ints *mask,
                                      const lanes *center, double_lanes *total,
                                      double_lanes *squares) {
#define BLOCK(begin, size) convoy_squares_block(x + begin, size, mask, center, total, squares)
    CONVOY_FOR_BLOCKS(positions, BLOCK)
#undef BLOCK
}

/// Sets a gradient to 0 in place where the output of a ReLU is not above 0.
CONVOY_INLINE void convoy_mask_gradient(lanes *gradient, const lanes *output) {
    *gradient = *output <= 0 ? (lanes)(0.0f) : *gradient;
}

CONVOY_INLINE void convoy_products_block(lanes *gradient, const lanes *output, const lanes *x,
                                         ptrdiff_t size, const lanes *mean, double_lanes *total,
                                         double_lanes *product) {
    lanes sums[2] = {(lanes)(0.0f), (lanes)(0.0f)}, products[2] = {(lanes)(0.0f), (lanes)(0.0f)};
    for (ptrdiff_t p = 0; p < size; p += 2) {
        if (output) convoy_mask_gradient(gradient + p, output + p);
        sums[0] = sums[0] + gradient[p];
        products[0] = convoy_fma(gradient[p], x[p] - *mean, products[0]);
        if (p + 1 == size) break;
        if (output) convoy_mask_gradient(gradient + p + 1, output + p + 1);
        sums[1] = sums[1] + gradient[p + 1];
        products[1] = convoy_fma(gradient[p + 1], x[p + 1] - *mean, products[1]);
    }
    if (total) convoy_end_block(total, sums);
    convoy_end_block(product, products);
}

/// Adds the sums of g and of g * (x - mean) over all positions to two totals, of which the first
/// may be NULL. With `output` the gradient is first set to 0 in place where output <= 0.
CONVOY_INLINE void convoy_sum_products(lanes *gradient, const lanes *output, const lanes *x,
                                       ptrdiff_t positions, const lanes *mean, double_lanes *total,
                                       double_lanes *product) {
#define BLOCK(begin, size)                                                                         \
    convoy_products_block(gradient + begin, output ? output + begin : 0, x + begin, size, mean,    \
                          total, product)
    CONVOY_FOR_BLOCKS(positions, BLOCK)
#undef BLOCK
}

#endif
