#include "lane_elementwise_kernels.h"
#include "lane_sums.h"

#pragma STDC FP_CONTRACT OFF

CONVOY_INLINE void convoy_lanes_multiply_body(const float *x, const float *gate, float *y,
                                              ptrdiff_t channels, ptrdiff_t positions) {
    const lanes *from = (const lanes *)x;
    lanes *to = (lanes *)y;
    for (ptrdiff_t c = 0; c < channels; c++) {
        const lanes factor = ((const lanes *)gate)[c];
        for (ptrdiff_t p = 0; p < positions; p++) to[p] = from[p] * factor;
        from += positions;
        to += positions;
    }
}

CONVOY_LANE_FUNCTION(convoy_lanes_multiply,
                     (const float *x, const float *gate, float *y, ptrdiff_t channels,
                      ptrdiff_t positions),
                     (x, gate, y, channels, positions))

CONVOY_INLINE void convoy_lanes_multiply_backward_body(const float *gradient, const float *x,
                                                       const float *gate, float *x_gradient,
                                                       float *gate_gradient, ptrdiff_t channels,
                                                       ptrdiff_t positions) {
    const lanes *g = (const lanes *)gradient, *from = (const lanes *)x, zero = (lanes)(0.0f);
    lanes *to = (lanes *)x_gradient;
    for (ptrdiff_t c = 0; c < channels; c++) {
        const lanes factor = ((const lanes *)gate)[c];
        double_lanes sum = (double_lanes)(0.0);
        // Without an output the gradient is only read.
        convoy_sum_products((lanes *)g, 0, from, positions, &zero, 0, &sum);
        for (ptrdiff_t p = 0; p < positions; p++) to[p] = g[p] * factor;
        ((lanes *)gate_gradient)[c] = __builtin_convertvector(sum, lanes);
        g += positions;
        from += positions;
        to += positions;
    }
}

CONVOY_LANE_FUNCTION(convoy_lanes_multiply_backward,
                     (const float *gradient, const float *x, const float *gate, float *x_gradient,
                      float *gate_gradient, ptrdiff_t channels, ptrdiff_t positions),
                     (gradient, x, gate, x_gradient, gate_gradient, channels, positions))
