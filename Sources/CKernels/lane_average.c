#include "lane_elementwise_kernels.h"
#include "lane_sums.h"

#include <string.h>

#pragma STDC FP_CONTRACT OFF

// The cells of a window along one axis that lie inside the image: `count` of them from `first` on.
typedef struct {
    ptrdiff_t first, count;
} cells;

CONVOY_INLINE cells inside(ptrdiff_t start, ptrdiff_t window, ptrdiff_t size) {
    const ptrdiff_t first = start < 0 ? 0 : start;
    const ptrdiff_t end = start + window > size ? size : start + window;
    const cells result = {first, end - first};
    return result;
}

// Whether all windows are 2 x 2 cells inside the image, whose bounds are then constants.
CONVOY_INLINE int is_two(const convoy_lane_pool *pool) {
    return pool->window_height == 2 && pool->window_width == 2 && pool->padding_top == 0 &&
           pool->padding_left == 0 &&
           (pool->output_height - 1) * pool->stride_height + 2 <= pool->input_height &&
           (pool->output_width - 1) * pool->stride_width + 2 <= pool->input_width;
}

CONVOY_INLINE float divisor_of(const convoy_lane_pool *pool, cells rows, cells columns,
                               int counts_padding) {
    return counts_padding ? (float)(pool->window_height * pool->window_width)
                          : (float)(rows.count * columns.count);
}

CONVOY_INLINE void average(const lanes *plane, ptrdiff_t width, cells rows, cells columns,
                           float divisor, lanes *output) {
    lanes sum = (lanes)(0.0f);
    const lanes *cell = plane + rows.first * width + columns.first;
    for (ptrdiff_t r = 0; r < rows.count; r++)
        for (ptrdiff_t c = 0; c < columns.count; c++) sum = sum + cell[r * width + c];
    *output = sum / divisor;
}

CONVOY_INLINE void spread(const lanes *gradient, ptrdiff_t width, cells rows, cells columns,
                          float divisor, lanes *plane) {
    const lanes part = *gradient / divisor;
    lanes *cell = plane + rows.first * width + columns.first;
    for (ptrdiff_t r = 0; r < rows.count; r++)
        for (ptrdiff_t c = 0; c < columns.count; c++)
            cell[r * width + c] = cell[r * width + c] + part;
}

// Runs RUN(rows, columns, divisor) for all windows in row-major order.
#define FOR_WINDOWS(RUN)                                                                           \
    for (ptrdiff_t y = 0; y < pool->output_height; y++) {                                          \
        const ptrdiff_t top = y * pool->stride_height - pool->padding_top;                         \
        const cells rows = inside(top, pool->window_height, pool->input_height);                   \
        for (ptrdiff_t x = 0; x < pool->output_width; x++) {                                       \
            const ptrdiff_t left = x * pool->stride_width - pool->padding_left;                    \
            if (two) {                                                                             \
                const cells two_rows = {top, 2}, two_columns = {left, 2};                          \
                RUN(two_rows, two_columns, 4);                                                     \
            } else {                                                                               \
                const cells columns = inside(left, pool->window_width, pool->input_width);         \
                RUN(rows, columns, divisor_of(pool, rows, columns, counts_padding));               \
            }                                                                                      \
        }                                                                                          \
    }

CONVOY_INLINE void convoy_lanes_average_pool_body(const float *input, float *output,
                                                  ptrdiff_t channels, const convoy_lane_pool *pool,
                                                  int counts_padding) {
    const ptrdiff_t width = pool->input_width;
    const int two = is_two(pool);
    const lanes *plane = (const lanes *)input;
    lanes *to = (lanes *)output;
    for (ptrdiff_t c = 0; c < channels; c++, plane += pool->input_height * width) {
#define AVERAGE(rows, columns, divisor) average(plane, width, rows, columns, divisor, to++)
        FOR_WINDOWS(AVERAGE)
#undef AVERAGE
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
    const int two = is_two(pool);
    const lanes *g = (const lanes *)output_gradient;
    lanes *plane = (lanes *)input_gradient;
    for (ptrdiff_t c = 0; c < channels; c++, plane += size) {
        memset(plane, 0, (size_t)size * sizeof(lanes));
#define SPREAD(rows, columns, divisor) spread(g++, width, rows, columns, divisor, plane)
        FOR_WINDOWS(SPREAD)
#undef SPREAD
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
