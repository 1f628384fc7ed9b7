#include "lane_sums.h"
#include "normalization_kernels.h"

#pragma STDC FP_CONTRACT OFF

// Computes the mean of each lane, rounded to float, and 1 / sqrt(variance + epsilon).
CONVOY_INLINE void lane_moments(const lanes *x, ptrdiff_t positions, float epsilon, lanes *mean,
                                lanes *inverse) {
    const double_lanes n = (double_lanes)((double)positions), one = (double_lanes)(1.0);
    double_lanes sum = (double_lanes)(0.0), rest = sum, square = sum;
    convoy_sum(x, positions, 0, &sum);
    const lanes near = __builtin_convertvector(sum / n, lanes);
    convoy_sum_squares(x, positions, 0, &near, &rest, &square);
    rest = rest / n;
    double_lanes variance = square / n - rest * rest;
    variance = variance < 0 ? (double_lanes)(0.0) : variance;
    const double_lanes deviation = __builtin_elementwise_sqrt(variance + (double)epsilon);
    *mean = __builtin_convertvector(__builtin_convertvector(near, double_lanes) + rest, lanes);
    *inverse = __builtin_convertvector(one / deviation, lanes);
}

CONVOY_INLINE void convoy_lanes_group_norm_body(const float *x, const float *scale,
                                                const float *shift, float epsilon, float *y,
                                                float *mean, float *deviation_inverse,
                                                ptrdiff_t channels, ptrdiff_t groups,
                                                ptrdiff_t positions) {
    const ptrdiff_t size = channels / groups;
    const lanes *from = (const lanes *)x;
    lanes *to = (lanes *)y;
    for (ptrdiff_t g = 0; g < groups; g++) {
        lanes middle, inverse;
        lane_moments(from, size * positions, epsilon, &middle, &inverse);
        ((lanes *)mean)[g] = middle;
        ((lanes *)deviation_inverse)[g] = inverse;
        for (ptrdiff_t c = g * size; c < (g + 1) * size; c++) {
            const lanes factor = inverse * scale[c], constant = (lanes)(shift[c]);
            for (ptrdiff_t p = 0; p < positions; p++)
                to[p] = convoy_fma(from[p] - middle, factor, constant);
            from += positions;
            to += positions;
        }
    }
}

CONVOY_LANE_FUNCTION(convoy_lanes_group_norm,
                     (const float *x, const float *scale, const float *shift, float epsilon,
                      float *y, float *mean, float *deviation_inverse, ptrdiff_t channels,
                      ptrdiff_t groups, ptrdiff_t positions),
                     (x, scale, shift, epsilon, y, mean, deviation_inverse, channels, groups,
                      positions))

CONVOY_INLINE void store_sum(float *place, const double_lanes *lanes_of_sum, int adds) {
    const float value = (float)convoy_double_lane_sum(lanes_of_sum);
    *place = adds ? *place + value : value;
}

// With h = (x - mean) * inverse and n values in the group, the gradient of the input is
// inverse * (scale g - (sum of scale g) / n - h * (sum of scale g h) / n).
CONVOY_INLINE void convoy_lanes_group_norm_backward_body(
    const float *gradient, const float *x, const float *scale, const float *mean,
    const float *deviation_inverse, float *input_gradient, float *scale_gradient,
    float *shift_gradient, ptrdiff_t channels, ptrdiff_t groups, ptrdiff_t positions, int adds) {
    const ptrdiff_t size = channels / groups, plane = size * positions;
    const double_lanes n = (double_lanes)((double)plane);
    for (ptrdiff_t group = 0; group < groups; group++) {
        const lanes *g = (const lanes *)gradient + group * plane;
        const lanes *from = (const lanes *)x + group * plane;
        lanes *to = (lanes *)input_gradient + group * plane;
        const lanes middle = ((const lanes *)mean)[group];
        const lanes narrow = ((const lanes *)deviation_inverse)[group];
        const double_lanes inverse = __builtin_convertvector(narrow, double_lanes);
        double_lanes sum = (double_lanes)(0.0), product = (double_lanes)(0.0);
        for (ptrdiff_t i = 0; i < size; i++) {
            const ptrdiff_t c = group * size + i;
            double_lanes sums = (double_lanes)(0.0), products = (double_lanes)(0.0);
            // Without an output the gradient is only read.
            convoy_sum_products((lanes *)(g + i * positions), 0, from + i * positions, positions,
                                &middle, &sums, &products);
            products = products * inverse;
            store_sum(shift_gradient + c, &sums, adds);
            store_sum(scale_gradient + c, &products, adds);
            sum = sum + sums * (double)scale[c];
            product = product + products * (double)scale[c];
        }
        const double_lanes offset = -(inverse * sum) / n;
        const double_lanes slope = -(inverse * (inverse * product)) / n;
        const lanes shift = __builtin_convertvector(offset, lanes);
        const lanes factor = __builtin_convertvector(slope, lanes);
        for (ptrdiff_t i = 0; i < size; i++) {
            const lanes outer = narrow * scale[group * size + i];
            for (ptrdiff_t p = 0; p < positions; p++, g++, from++, to++)
                *to = convoy_fma(outer, *g, convoy_fma(factor, *from - middle, shift));
        }
    }
}

CONVOY_LANE_FUNCTION(convoy_lanes_group_norm_backward,
                     (const float *gradient, const float *x, const float *scale, const float *mean,
                      const float *deviation_inverse, float *input_gradient, float *scale_gradient,
                      float *shift_gradient, ptrdiff_t channels, ptrdiff_t groups,
                      ptrdiff_t positions, int adds),
                     (gradient, x, scale, mean, deviation_inverse, input_gradient, scale_gradient,
                      shift_gradient, channels, groups, positions, adds))
