#include "depthwise_kernels.h"
#include "lanes.h"

#pragma STDC FP_CONTRACT OFF

// The number of places of a kernel that are computed at a time.
#define SUMS 8

CONVOY_INLINE void store_sum(float *place, const lanes *sum, int adds) {
    const float value = convoy_lane_sum(sum);
    *place = adds ? *place + value : value;
}

// Takes `width` outputs of a row into the nine sums of a kernel of 3 x 3. `width` and `stride` are
// constants for the compiler.
CONVOY_INLINE void take_nine(const lanes *const source[3], const lanes *gradient, int width,
                             int stride, lanes sum[9]) {
    CONVOY_UNROLL
    for (int i = 0; i < 3; i++) {
        CONVOY_UNROLL
        for (int p = 0; p < width; p++) {
            CONVOY_UNROLL
            for (int j = 0; j < 3; j++)
                sum[i * 3 + j] =
                    convoy_fma(gradient[p], source[i][p * stride + j], sum[i * 3 + j]);
        }
    }
}

CONVOY_INLINE void nine_gradients(const lanes *input, const lanes *gradient,
                                  const convoy_depthwise *shape, int stride, float *place,
                                  int adds) {
    const ptrdiff_t width = shape->input_width;
    lanes sum[9];
    CONVOY_UNROLL
    for (int k = 0; k < 9; k++) sum[k] = (lanes)(0.0f);
    for (ptrdiff_t y = 0; y < shape->output_height; y++) {
        const lanes *top = input + y * shape->stride_height * width;
        const lanes *rows[3] = {top, top + shape->dilation_height * width,
                                top + 2 * shape->dilation_height * width};
        ptrdiff_t x = 0;
        for (; x + 2 <= shape->output_width; x += 2) {
            const lanes *places[3] = {rows[0] + x * stride, rows[1] + x * stride,
                                      rows[2] + x * stride};
            take_nine(places, gradient + x, 2, stride, sum);
        }
        if (x < shape->output_width) {
            const lanes *places[3] = {rows[0] + x * stride, rows[1] + x * stride,
                                      rows[2] + x * stride};
            take_nine(places, gradient + x, 1, stride, sum);
        }
        gradient += shape->output_width;
    }
    CONVOY_UNROLL
    for (int k = 0; k < 9; k++) store_sum(place + k, &sum[k], adds);
}

// Computes the gradients of eight places of a kernel. Where fewer are left, the last one is
// computed several times.
CONVOY_INLINE void some_gradients(const lanes *input, const lanes *gradient,
                                  const convoy_depthwise *shape, ptrdiff_t first, float *place,
                                  int adds) {
    const ptrdiff_t size = shape->kernel_height * shape->kernel_width;
    const ptrdiff_t row_step = shape->stride_height * shape->input_width;
    const lanes *from[SUMS];
    lanes sum[SUMS];
    CONVOY_UNROLL
    for (int k = 0; k < SUMS; k++) {
        const ptrdiff_t at = first + k < size ? first + k : size - 1;
        from[k] = input +
                  at / shape->kernel_width * shape->dilation_height * shape->input_width +
                  at % shape->kernel_width * shape->dilation_width;
        sum[k] = (lanes)(0.0f);
    }
    for (ptrdiff_t y = 0; y < shape->output_height; y++) {
        for (ptrdiff_t x = 0; x < shape->output_width; x++) {
            const lanes g = *gradient++;
            const ptrdiff_t move = y * row_step + x * shape->stride_width;
            CONVOY_UNROLL
            for (int k = 0; k < SUMS; k++) sum[k] = convoy_fma(g, from[k][move], sum[k]);
        }
    }
    CONVOY_UNROLL
    for (int k = 0; k < SUMS; k++)
        if (first + k < size) store_sum(place + first + k, &sum[k], adds);
}

CONVOY_INLINE void convoy_lanes_depthwise_weight_gradient_body(const float *input,
                                                               const float *output_gradient,
                                                               float *gradient,
                                                               ptrdiff_t channels,
                                                               const convoy_depthwise *shape,
                                                               int adds) {
    const ptrdiff_t size = shape->kernel_height * shape->kernel_width;
    const int is_nine = shape->kernel_height == 3 && shape->kernel_width == 3 &&
                        shape->dilation_width == 1 && shape->stride_width <= 2;
    const lanes *plane = (const lanes *)input, *g = (const lanes *)output_gradient;
    for (ptrdiff_t c = 0; c < channels; c++) {
        if (is_nine && shape->stride_width == 1) {
            nine_gradients(plane, g, shape, 1, gradient, adds);
        } else if (is_nine) {
            nine_gradients(plane, g, shape, 2, gradient, adds);
        } else {
            for (ptrdiff_t first = 0; first < size; first += SUMS)
                some_gradients(plane, g, shape, first, gradient, adds);
        }
        plane += shape->input_height * shape->input_width;
        g += shape->output_height * shape->output_width;
        gradient += size;
    }
}

CONVOY_LANE_FUNCTION(convoy_lanes_depthwise_weight_gradient,
                     (const float *input, const float *output_gradient, float *gradient,
                      ptrdiff_t channels, const convoy_depthwise *shape, int adds),
                     (input, output_gradient, gradient, channels, shape, adds))
