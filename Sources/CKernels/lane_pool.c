#include "lanes.h"

#include <string.h>

#pragma STDC FP_CONTRACT OFF

typedef struct {
    ptrdiff_t begin, end;
} span;

// Returns the part of a window that lies in the image.
CONVOY_INLINE span inside(ptrdiff_t start, ptrdiff_t window, ptrdiff_t size) {
    span result = {start < 0 ? -start : 0, start + window > size ? size - start : window};
    return result;
}

CONVOY_INLINE void pool_one(const float *plane, const convoy_lane_pool *pool, ptrdiff_t top,
                            ptrdiff_t left, span rows, span columns, ptrdiff_t window_width,
                            int relu_mask, float *output, int32_t *choice) {
    lanes best = (lanes)(-__builtin_inff());
    lane_ints where = (lane_ints)((int32_t)(rows.begin * window_width + columns.begin));
    for (ptrdiff_t r = rows.begin; r < rows.end; r++) {
        for (ptrdiff_t c = columns.begin; c < columns.end; c++) {
            const ptrdiff_t place = ((top + r) * pool->input_width + left + c) * CONVOY_LANES;
            const lanes value = *(const lanes *)(plane + place);
            CONVOY_TAKE_MAXIMUM(best, where, value,
                                (lane_ints)((int32_t)(r * window_width + c)));
        }
    }
    if (relu_mask) where = best <= 0 ? (lane_ints)(-1) : where;
    *(lanes *)output = best;
    *(lane_ints *)choice = where;
}

CONVOY_INLINE void convoy_lanes_max_pool_body(const float *input, float *output, int32_t *choice,
                                              ptrdiff_t channels, const convoy_lane_pool *pool,
                                              int relu_mask) {
    const ptrdiff_t plane = pool->input_height * pool->input_width * CONVOY_LANES;
    // The usual window of 2 x 2 has constants in place of bounds.
    const int is_two = pool->window_height == 2 && pool->window_width == 2 &&
                       pool->padding_top == 0 && pool->padding_left == 0 &&
                       (pool->output_height - 1) * pool->stride_height + 2 <= pool->input_height &&
                       (pool->output_width - 1) * pool->stride_width + 2 <= pool->input_width;
    const span two = {0, 2};
    for (ptrdiff_t c = 0; c < channels; c++, input += plane) {
        for (ptrdiff_t y = 0; y < pool->output_height; y++) {
            const ptrdiff_t top = y * pool->stride_height - pool->padding_top;
            const span rows = inside(top, pool->window_height, pool->input_height);
            for (ptrdiff_t x = 0; x < pool->output_width; x++) {
                const ptrdiff_t left = x * pool->stride_width - pool->padding_left;
                if (is_two) {
                    pool_one(input, pool, top, left, two, two, 2, relu_mask, output, choice);
                } else {
                    pool_one(input, pool, top, left, rows,
                             inside(left, pool->window_width, pool->input_width),
                             pool->window_width, relu_mask, output, choice);
                }
                output += CONVOY_LANES;
                choice += CONVOY_LANES;
            }
        }
    }
}

CONVOY_LANE_FUNCTION(convoy_lanes_max_pool,
                     (const float *input, float *output, int32_t *choice, ptrdiff_t channels,
                      const convoy_lane_pool *pool, int relu_mask),
                     (input, output, choice, channels, pool, relu_mask))

CONVOY_INLINE void spread(const float *output_gradient, const int32_t *choice, float *plane,
                          const convoy_lane_pool *pool, ptrdiff_t top, ptrdiff_t left, span rows,
                          span columns, ptrdiff_t window_width, int adds) {
    const lanes gradient = *(const lanes *)output_gradient;
    const lane_ints where = *(const lane_ints *)choice;
    for (ptrdiff_t r = rows.begin; r < rows.end; r++) {
        for (ptrdiff_t c = columns.begin; c < columns.end; c++) {
            lanes *place =
                (lanes *)(plane + ((top + r) * pool->input_width + left + c) * CONVOY_LANES);
            const lanes part =
                where == (lane_ints)((int32_t)(r * window_width + c)) ? gradient : (lanes)(0.0f);
            *place = adds ? *place + part : part;
        }
    }
}

CONVOY_INLINE void convoy_lanes_max_pool_backward_body(const float *output_gradient,
                                                       const int32_t *choice,
                                                       float *input_gradient, ptrdiff_t channels,
                                                       const convoy_lane_pool *pool) {
    const ptrdiff_t plane = pool->input_height * pool->input_width * CONVOY_LANES;
    const int is_apart = pool->window_height <= pool->stride_height &&
                         pool->window_width <= pool->stride_width;
    const int is_two = pool->window_height == 2 && pool->window_width == 2 &&
                       pool->stride_height == 2 && pool->stride_width == 2 &&
                       pool->padding_top == 0 && pool->padding_left == 0 &&
                       pool->output_height * 2 <= pool->input_height &&
                       pool->output_width * 2 <= pool->input_width;
    const int is_covered = is_two && pool->output_height * 2 == pool->input_height &&
                           pool->output_width * 2 == pool->input_width;
    const span two = {0, 2};
    for (ptrdiff_t c = 0; c < channels; c++, input_gradient += plane) {
        if (!is_covered) memset(input_gradient, 0, (size_t)plane * sizeof(float));
        for (ptrdiff_t y = 0; y < pool->output_height; y++) {
            const ptrdiff_t top = y * pool->stride_height - pool->padding_top;
            const span rows = inside(top, pool->window_height, pool->input_height);
            for (ptrdiff_t x = 0; x < pool->output_width; x++) {
                const ptrdiff_t left = x * pool->stride_width - pool->padding_left;
                if (is_two) {
                    spread(output_gradient, choice, input_gradient, pool, top, left, two, two, 2,
                           0);
                } else {
                    spread(output_gradient, choice, input_gradient, pool, top, left, rows,
                           inside(left, pool->window_width, pool->input_width), pool->window_width,
                           !is_apart);
                }
                output_gradient += CONVOY_LANES;
                choice += CONVOY_LANES;
            }
        }
    }
}

CONVOY_LANE_FUNCTION(convoy_lanes_max_pool_backward,
                     (const float *output_gradient, const int32_t *choice, float *input_gradient,
                      ptrdiff_t channels, const convoy_lane_pool *pool),
                     (output_gradient, choice, input_gradient, channels, pool))
