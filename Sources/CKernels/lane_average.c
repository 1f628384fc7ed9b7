#include "lane_elementwise_kernels.h"
#include "lane_sums.h"

#include <string.h>

#pragma STDC FP_CONTRACT OFF

// The cells of a window inside the image, and the number by which their sum is divided.
typedef struct {
    ptrdiff_t top, bottom, left, right;
    float divisor;
} cells;

CONVOY_INLINE void inside(ptrdiff_t start, ptrdiff_t window, ptrdiff_t size, ptrdiff_t *first,
                          ptrdiff_t *end) {
    *first = start < 0 ? 0 : start;
    *end = start + window > size ? size : start + window;
}

CONVOY_INLINE cells cells_of(const convoy_lane_pool *pool, ptrdiff_t y, ptrdiff_t x,
                             int counts_padding) {
    cells result;
    inside(y * pool->stride_height - pool->padding_top, pool->window_height, pool->input_height,
           &result.top, &result.bottom);
    inside(x * pool->stride_width - pool->padding_left, pool->window_width, pool->input_width,
           &result.left, &result.right);
    result.divisor =
        counts_padding
            ? (float)(pool->window_height * pool->window_width)
            : (float)((result.bottom - result.top) * (result.right - result.left));
    return result;
}

CONVOY_INLINE void convoy_lanes_average_pool_body(const float *input, float *output,
                                                  ptrdiff_t channels, const convoy_lane_pool *pool,
                                                  int counts_padding) {
    const ptrdiff_t width = pool->input_width;
    const lanes *plane = (const lanes *)input;
    lanes *to = (lanes *)output;
    for (ptrdiff_t c = 0; c < channels; c++, plane += pool->input_height * width) {
        for (ptrdiff_t y = 0; y < pool->output_height; y++) {
            for (ptrdiff_t x = 0; x < pool->output_width; x++) {
                const cells at = cells_of(pool, y, x, counts_padding);
                lanes sum = (lanes)(0.0f);
                for (ptrdiff_t row = at.top; row < at.bottom; row++)
                    for (ptrdiff_t column = at.left; column < at.right; column++)
                        sum = sum + plane[row * width + column];
                *to++ = sum / at.divisor;
            }
        }
    }
}

CONVOY_LANE_FUNCTION(convoy_lanes_average_pool,
                     (const float *input, float *output, ptrdiff_t channels,
                      const convoy_lane_pool *pool, int counts_padding),
                     (input, output, channels, pool, counts_padding))

CONVOY_INLINE void convoy_lanes_average_pool_backward_body(const float *output_gradient,
                                                           float *input_gradient,
                                                           ptrdiff_t channels,
                                                           const convoy_lane_pool *pool,
                                                           int counts_padding) {
    const ptrdiff_t width = pool->input_width, size = pool->input_height * width;
    const lanes *g = (const lanes *)output_gradient;
    lanes *plane = (lanes *)input_gradient;
    memset(input_gradient, 0, (size_t)(channels * size) * sizeof(lanes));
    for (ptrdiff_t c = 0; c < channels; c++, plane += size) {
        for (ptrdiff_t y = 0; y < pool->output_height; y++) {
            for (ptrdiff_t x = 0; x < pool->output_width; x++) {
                const cells at = cells_of(pool, y, x, counts_padding);
                const lanes part = *g++ / at.divisor;
                for (ptrdiff_t row = at.top; row < at.bottom; row++)
                    for (ptrdiff_t column = at.left; column < at.right; column++)
                        plane[row * width + column] = plane[row * width + column] + part;
            }
        }
    }
}

CONVOY_LANE_FUNCTION(convoy_lanes_average_pool_backward,
                     (const float *output_gradient, float *input_gradient, ptrdiff_t channels,
                      const convoy_lane_pool *pool, int counts_padding),
                     (output_gradient, input_gradient, channels, pool, counts_padding))

CONVOY_INLINE void convoy_lanes_global_average_body(const float *x, float *y, ptrdiff_t channels,
                                                    ptrdiff_t positions) {
    for (ptrdiff_t c = 0; c < channels; c++) {
        double_lanes sum = (double_lanes)(0.0);
        convoy_sum((const lanes *)x + c * positions, positions, 0, &sum);
        ((lanes *)y)[c] = __builtin_convertvector(sum / (double)positions, lanes);
    }
}

CONVOY_LANE_FUNCTION(convoy_lanes_global_average,
                     (const float *x, float *y, ptrdiff_t channels, ptrdiff_t positions),
                     (x, y, channels, positions))

CONVOY_INLINE void convoy_lanes_global_average_backward_body(const float *gradient,
                                                             float *x_gradient, ptrdiff_t channels,
                                                             ptrdiff_t positions) {
    for (ptrdiff_t c = 0; c < channels; c++) {
        const lanes part = ((const lanes *)gradient)[c] / (float)positions;
        lanes *to = (lanes *)x_gradient + c * positions;
        for (ptrdiff_t p = 0; p < positions; p++) to[p] = part;
    }
}

CONVOY_LANE_FUNCTION(convoy_lanes_global_average_backward,
                     (const float *gradient, float *x_gradient, ptrdiff_t channels,
                      ptrdiff_t positions),
                     (gradient, x_gradient, channels, positions))
