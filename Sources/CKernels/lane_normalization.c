#include "normalization_kernels.h"

#include "lane_sums.h"

#pragma STDC FP_CONTRACT OFF

#define UNROLL_4 _Pragma("clang loop unroll_count(4)")

// `mask` is NULL for eight images, which is known to the compiler.
CONVOY_INLINE void moments(const lanes *x, ptrdiff_t channels, ptrdiff_t positions,
                           ptrdiff_t count, const lane_ints *mask, double *mean, double *squares) {
    const double n = (double)(positions * count);
    for (ptrdiff_t c = 0; c < channels; c++, x += positions) {
        double_lanes sum = (double_lanes)(0.0), rests = sum, square = sum;
        convoy_sum(x, positions, mask, &sum);
        const float near = (float)(convoy_double_lane_sum(&sum) / n);
        const lanes center = (lanes)(near);
        convoy_sum_squares(x, positions, mask, &center, &rests, &square);
        const double rest = convoy_double_lane_sum(&rests) / n;
        const double value = convoy_double_lane_sum(&square) - n * (rest * rest);
        mean[c] = (double)near + rest;
        squares[c] = value < 0 ? 0 : value;
    }
}

CONVOY_INLINE void convoy_lanes_moments_body(const float *x, ptrdiff_t channels,
                                             ptrdiff_t positions, ptrdiff_t count, double *mean,
                                             double *squares) {
    if (count == CONVOY_LANES) {
        moments((const lanes *)x, channels, positions, count, 0, mean, squares);
    } else {
        lane_ints mask;
        convoy_lane_mask(count, &mask);
        moments((const lanes *)x, channels, positions, count, &mask, mean, squares);
    }
}

CONVOY_LANE_FUNCTION(convoy_lanes_moments,
                     (const float *x, ptrdiff_t channels, ptrdiff_t positions, ptrdiff_t count,
                      double *mean, double *squares),
                     (x, channels, positions, count, mean, squares))

CONVOY_INLINE void affine(const lanes *x, const lanes *skip, const float *a, const float *b,
                          lanes *y, ptrdiff_t channels, ptrdiff_t positions, const lane_ints *mask,
                          int relu) {
    for (ptrdiff_t c = 0; c < channels; c++) {
        const lanes factor = (lanes)(a[c]), shift = (lanes)(b[c]);
        UNROLL_4
        for (ptrdiff_t p = 0; p < positions; p++) {
            lanes value = convoy_fma(factor, x[p], shift);
            if (skip) value = value + skip[p];
            if (relu) value = value < 0 ? (lanes)(0.0f) : value;
            convoy_load_masked(&value, mask, &value);
            y[p] = value;
        }
        x += positions;
        y += positions;
        if (skip) skip += positions;
    }
}

CONVOY_INLINE void affine_kinds(const lanes *x, const lanes *skip, const float *a, const float *b,
                                lanes *y, ptrdiff_t channels, ptrdiff_t positions,
                                const lane_ints *mask, int relu) {
    if (skip && relu) {
        affine(x, skip, a, b, y, channels, positions, mask, 1);
    } else if (skip) {
        affine(x, skip, a, b, y, channels, positions, mask, 0);
    } else if (relu) {
        affine(x, 0, a, b, y, channels, positions, mask, 1);
    } else {
        affine(x, 0, a, b, y, channels, positions, mask, 0);
    }
}

CONVOY_INLINE void convoy_lanes_affine_body(const float *x, const float *skip, const float *a,
                                            const float *b, float *y, ptrdiff_t channels,
                                            ptrdiff_t positions, ptrdiff_t count, int relu) {
    const lanes *from = (const lanes *)x, *added = (const lanes *)skip;
    if (count == CONVOY_LANES) {
        affine_kinds(from, added, a, b, (lanes *)y, channels, positions, 0, relu);
    } else {
        lane_ints mask;
        convoy_lane_mask(count, &mask);
        affine_kinds(from, added, a, b, (lanes *)y, channels, positions, &mask, relu);
    }
}

CONVOY_LANE_FUNCTION(convoy_lanes_affine,
                     (const float *x, const float *skip, const float *a, const float *b, float *y,
                      ptrdiff_t channels, ptrdiff_t positions, ptrdiff_t count, int relu),
                     (x, skip, a, b, y, channels, positions, count, relu))

CONVOY_INLINE void gradient_sums(lanes *gradient, const lanes *output, const lanes *x,
                                 const float *mean, ptrdiff_t channels, ptrdiff_t positions,
                                 double *sum, double *product) {
    for (ptrdiff_t c = 0; c < channels; c++) {
        const lanes center = (lanes)(mean[c]);
        double_lanes sums = (double_lanes)(0.0), products = (double_lanes)(0.0);
        convoy_sum_products(gradient, output, x, positions, &center, &sums, &products);
        sum[c] = convoy_double_lane_sum(&sums);
        product[c] = convoy_double_lane_sum(&products);
        gradient += positions;
        x += positions;
        if (output) output += positions;
    }
}

CONVOY_INLINE void convoy_lanes_norm_gradient_sums_body(float *gradient, const float *output,
                                                        const float *x, const float *mean,
                                                        ptrdiff_t channels, ptrdiff_t positions,
                                                        double *sum, double *product) {
    lanes *g = (lanes *)gradient;
    if (output) {
        gradient_sums(g, (const lanes *)output, (const lanes *)x, mean, channels, positions, sum,
                      product);
    } else {
        gradient_sums(g, 0, (const lanes *)x, mean, channels, positions, sum, product);
    }
}

CONVOY_LANE_FUNCTION(convoy_lanes_norm_gradient_sums,
                     (float *gradient, const float *output, const float *x, const float *mean,
                      ptrdiff_t channels, ptrdiff_t positions, double *sum, double *product),
                     (gradient, output, x, mean, channels, positions, sum, product))

CONVOY_INLINE void norm_gradient(const lanes *gradient, const lanes *x, const float *a,
                                 const float *b, const float *c, lanes *input_gradient,
                                 ptrdiff_t channels, ptrdiff_t positions, const lane_ints *mask) {
    for (ptrdiff_t channel = 0; channel < channels; channel++) {
        const lanes outer = (lanes)(a[channel]), inner = (lanes)(b[channel]);
        const lanes shift = (lanes)(c[channel]);
        UNROLL_4
        for (ptrdiff_t p = 0; p < positions; p++) {
            lanes value = convoy_fma(outer, gradient[p], convoy_fma(inner, x[p], shift));
            convoy_load_masked(&value, mask, &value);
            input_gradient[p] = value;
        }
        gradient += positions;
        x += positions;
        input_gradient += positions;
    }
}

CONVOY_INLINE void convoy_lanes_norm_gradient_body(const float *gradient, const float *x,
                                                   const float *a, const float *b, const float *c,
                                                   float *input_gradient, ptrdiff_t channels,
                                                   ptrdiff_t positions, ptrdiff_t count) {
    const lanes *g = (const lanes *)gradient, *from = (const lanes *)x;
    if (count == CONVOY_LANES) {
        norm_gradient(g, from, a, b, c, (lanes *)input_gradient, channels, positions, 0);
    } else {
        lane_ints mask;
        convoy_lane_mask(count, &mask);
        norm_gradient(g, from, a, b, c, (lanes *)input_gradient, channels, positions, &mask);
    }
}

CONVOY_LANE_FUNCTION(convoy_lanes_norm_gradient,
                     (const float *gradient, const float *x, const float *a, const float *b,
                      const float *c, float *input_gradient, ptrdiff_t channels,
                      ptrdiff_t positions, ptrdiff_t count),
                     (gradient, x, a, b, c, input_gradient, channels, positions, count))
