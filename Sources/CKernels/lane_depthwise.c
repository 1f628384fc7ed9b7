#include "depthwise_kernels.h"
#include "lanes.h"

#pragma STDC FP_CONTRACT OFF

// The number of adjacent sums that are computed at a time. Eight keep two multipliers with a
// latency of four cycles busy.
#define SUMS 8

// The places of a kernel along one axis that meet a position: first, first + step, ... The first
// one meets source position `source`, and each other one the position `move` further.
typedef struct {
    ptrdiff_t first, step, count;
    ptrdiff_t source, move;
} places;

// One axis of a convolution. `whole` and `part` are quotient and remainder of dilation and stride.
typedef struct {
    ptrdiff_t kernel, stride, outputs, whole, part;
} axis;

CONVOY_INLINE axis axis_of(ptrdiff_t kernel, ptrdiff_t stride, ptrdiff_t dilation,
                           ptrdiff_t outputs) {
    axis result = {kernel, stride, outputs, dilation / stride, dilation % stride};
    return result;
}

// Returns the places of the kernel, in ascending order, through which input position
// quotient * stride + phase is read, and the outputs that read it. With `is_open` all outputs
// exist, also those before the first and behind the last.
CONVOY_INLINE places readers(const axis *a, ptrdiff_t quotient, ptrdiff_t phase, int is_open) {
    places result = {0, 1, 0, 0, 0};
    ptrdiff_t last = 0;
    for (ptrdiff_t k = 0; k < a->kernel; k++) {
        if (phase == 0 && (is_open || (quotient >= 0 && quotient < a->outputs))) {
            if (result.count == 0) {
                result.first = k;
                result.source = quotient;
            } else if (result.count == 1) {
                result.step = k - last;
                result.move = quotient - result.source;
            }
            last = k;
            result.count++;
        }
        quotient -= a->whole;
        phase -= a->part;
        if (phase < 0) {
            phase += a->stride;
            quotient--;
        }
    }
    return result;
}

CONVOY_INLINE void store(const lanes *value, int relu, lanes *target) {
    *target = *value;
    if (relu) *target = *value < 0 ? (lanes)(0.0f) : *value;
}

// Computes the sums of `width` positions over the given places of a kernel. The sources of adjacent
// positions are `source_step` apart, and their targets `target_step`. `width` is a constant for the
// compiler.
CONVOY_INLINE void sum_places(const lanes *source, ptrdiff_t source_width, ptrdiff_t source_step,
                              const float *weights, ptrdiff_t kernel_width, const places *rows,
                              const places *columns, float bias, int relu, int width,
                              lanes *target, ptrdiff_t target_step) {
    lanes sum[SUMS];
    CONVOY_UNROLL
    for (int p = 0; p < width; p++) sum[p] = (lanes)(bias);
    const lanes *row = source + rows->source * source_width + columns->source;
    const float *w = weights + rows->first * kernel_width + columns->first;
    for (ptrdiff_t i = 0; i < rows->count; i++) {
        for (ptrdiff_t j = 0; j < columns->count; j++) {
            const lanes factor = (lanes)(w[j * columns->step]);
            const lanes *from = row + j * columns->move;
            CONVOY_UNROLL
            for (int p = 0; p < width; p++)
                sum[p] = convoy_fma(factor, from[p * source_step], sum[p]);
        }
        row += rows->move * source_width;
        w += rows->step * kernel_width;
    }
    CONVOY_UNROLL
    for (int p = 0; p < width; p++) store(&sum[p], relu, target + p * target_step);
}

// Computes what `sum_places` computes for kernels of three adjacent columns, all of which are used.
// Each source is loaded once for all sums that it belongs to. `stride` is 1 or 2, or -1 where the
// kernel runs against the sources; it is a constant for the compiler too.
CONVOY_INLINE void sum_three(const lanes *source, ptrdiff_t source_width, const float *weights,
                             const places *rows, ptrdiff_t column, float bias, int relu, int width,
                             int stride, lanes *target) {
    lanes sum[SUMS];
    CONVOY_UNROLL
    for (int p = 0; p < width; p++) sum[p] = (lanes)(bias);
    const lanes *row = source + rows->source * source_width + column;
    const float *w = weights + rows->first * 3;
    const int step = stride < 0 ? 1 : stride, last = (width - 1) * step + 2;
    for (ptrdiff_t i = 0; i < rows->count; i++) {
        const lanes f[3] = {(lanes)(w[0]), (lanes)(w[1]), (lanes)(w[2])};
        CONVOY_UNROLL
        for (int j = 0; j <= last; j++) {
            const int place = stride < 0 ? last - j : j;
            const lanes x = row[stride < 0 ? place - 2 : place];
            CONVOY_UNROLL
            for (int p = 0; p < width; p++) {
                const int k = stride < 0 ? p + 2 - place : place - p * step;
                if (k >= 0 && k < 3) sum[p] = convoy_fma(f[k], x, sum[p]);
            }
        }
        row += rows->move * source_width;
        w += rows->step * 3;
    }
    CONVOY_UNROLL
    for (int p = 0; p < width; p++) store(&sum[p], relu, target + p);
}

// Computes the input gradients of `width` pairs of columns, 2 m and 2 m + 1, for kernels of three
// adjacent columns with stride 2. Output m reads both columns through places 0 and 1, and output
// m - 1 reads the first one through place 2. `width` is at most four.
CONVOY_INLINE void sum_pairs(const lanes *gradient, ptrdiff_t source_width, const float *weights,
                             const places *rows, int width, lanes *target) {
    lanes even[SUMS / 2], odd[SUMS / 2];
    CONVOY_UNROLL
    for (int p = 0; p < width; p++) even[p] = odd[p] = (lanes)(0.0f);
    const lanes *row = gradient + rows->source * source_width;
    const float *w = weights + rows->first * 3;
    for (ptrdiff_t i = 0; i < rows->count; i++) {
        const lanes f[3] = {(lanes)(w[0]), (lanes)(w[1]), (lanes)(w[2])};
        CONVOY_UNROLL
        for (int m = width - 1; m >= -1; m--) {
            const lanes x = row[m];
            if (m >= 0) even[m] = convoy_fma(f[0], x, even[m]);
            if (m >= 0) odd[m] = convoy_fma(f[1], x, odd[m]);
            if (m + 1 < width) even[m + 1] = convoy_fma(f[2], x, even[m + 1]);
        }
        row += rows->move * source_width;
        w += rows->step * 3;
    }
    CONVOY_UNROLL
    for (int p = 0; p < width; p++) {
        target[2 * p] = even[p];
        target[2 * p + 1] = odd[p];
    }
}

// Runs RUN(at, width) for all positions begin ..< end, `most` or four at a time where there are as
// many. The last positions may be computed twice, which is cheaper than one at a time.
#define FOR_RUNS(begin, end, most, RUN)                                                            \
    for (ptrdiff_t at = begin; at < (end);) {                                                      \
        const ptrdiff_t rest = (end)-at, all = (end) - (begin);                                    \
        if (rest > 4 && all >= most) {                                                             \
            at = rest < most ? (end)-most : at;                                                    \
            RUN(at, most);                                                                         \
            at += most;                                                                            \
        } else if (rest > 1 && all >= 4) {                                                         \
            at = rest < 4 ? (end)-4 : at;                                                          \
            RUN(at, 4);                                                                            \
            at += 4;                                                                               \
        } else {                                                                                   \
            RUN(at, 1);                                                                            \
            at += 1;                                                                               \
        }                                                                                          \
    }

CONVOY_INLINE void convoy_lanes_depthwise_body(const float *input, const float *weights,
                                               const float *bias, float *output,
                                               ptrdiff_t channels, const convoy_depthwise *shape,
                                               int relu) {
    const ptrdiff_t width = shape->input_width, step = shape->stride_width;
    const ptrdiff_t kernel_width = shape->kernel_width, outputs = shape->output_width;
    const int is_three = kernel_width == 3 && shape->dilation_width == 1;
    const lanes *plane = (const lanes *)input;
    lanes *to = (lanes *)output;
    for (ptrdiff_t c = 0; c < channels; c++) {
        const float start = bias ? bias[c] : 0;
        for (ptrdiff_t y = 0; y < shape->output_height; y++) {
            const places rows = {0, 1, shape->kernel_height, y * shape->stride_height,
                                 shape->dilation_height};
            const places columns = {0, 1, kernel_width, 0, shape->dilation_width};
#define THREE(x, count)                                                                            \
    sum_three(plane, width, weights, &rows, x, start, relu, count, 1, to + x)
#define THREE_BY_TWO(x, count)                                                                     \
    sum_three(plane, width, weights, &rows, 2 * x, start, relu, count, 2, to + x)
#define ANY(x, count)                                                                              \
    sum_places(plane + x * step, width, step, weights, kernel_width, &rows, &columns, start, relu, \
               count, to + x, 1)
            if (is_three && step == 1) {
                FOR_RUNS(0, outputs, 8, THREE)
            } else if (is_three && step == 2) {
                FOR_RUNS(0, outputs, 8, THREE_BY_TWO)
            } else {
                FOR_RUNS(0, outputs, 8, ANY)
            }
#undef THREE
#undef THREE_BY_TWO
#undef ANY
            to += outputs;
        }
        plane += shape->input_height * width;
        weights += shape->kernel_height * kernel_width;
    }
}

CONVOY_LANE_FUNCTION(convoy_lanes_depthwise,
                     (const float *input, const float *weights, const float *bias, float *output,
                      ptrdiff_t channels, const convoy_depthwise *shape, int relu),
                     (input, weights, bias, output, channels, shape, relu))

// The number of vectors that a copy of gradient rows may have, and the numbers of rows, and of
// remainders of columns by the stride, whose places in the kernel are kept for all channels.
#define COPY 768
#define ROWS 64
#define PHASES 4

// What all rows of an input gradient have in common.
typedef struct {
    axis down, across;
    ptrdiff_t width;           // columns of the input gradient
    places rows[ROWS];         // the places that meet a row
    places open[PHASES];       // the places that meet a column, by its remainder; outputs are open
    ptrdiff_t counts[PHASES];  // the number of columns with that remainder
    ptrdiff_t left, reach;     // how far before a column, or a row, the outputs are that read it
    ptrdiff_t copied;          // columns of a copied row of the output gradient
    int is_three, is_two;      // whether kernels have three adjacent columns, with stride 1 or 2
    int is_bordered;           // whether rows are copied
} gradient_plan;

CONVOY_INLINE void plan_gradient(const convoy_depthwise *shape, gradient_plan *plan) {
    plan->down = axis_of(shape->kernel_height, shape->stride_height, shape->dilation_height,
                         shape->output_height);
    plan->across = axis_of(shape->kernel_width, shape->stride_width, shape->dilation_width,
                           shape->output_width);
    plan->width = shape->input_width;
    const ptrdiff_t stride = shape->stride_width;
    const ptrdiff_t last = (plan->width - 1) / stride + 1;
    for (ptrdiff_t p = 0; p < PHASES && p < stride; p++) {
        plan->open[p] = readers(&plan->across, 0, p, 1);
        plan->counts[p] = (plan->width - p + stride - 1) / stride;
    }
    for (ptrdiff_t y = 0; y < ROWS && y < shape->input_height; y++)
        plan->rows[y] = readers(&plan->down, y / shape->stride_height, y % shape->stride_height, 0);
    plan->left = (shape->kernel_width - 1) * shape->dilation_width / stride;
    plan->reach = (shape->kernel_height - 1) * shape->dilation_height / shape->stride_height;
    plan->copied = plan->left + (last > shape->output_width ? last : shape->output_width);
    plan->is_bordered = stride <= PHASES && (plan->reach + 1) * plan->copied <= COPY;
    plan->is_three = shape->kernel_width == 3 && shape->dilation_width == 1 && stride == 1;
    plan->is_two = shape->kernel_width == 3 && shape->dilation_width == 1 && stride == 2;
}

// Computes a row of the input gradient from rows between columns of zeros, so that all columns with
// one remainder are read through the same places of the kernel.
CONVOY_INLINE void bordered_row(const lanes *gradient, const float *weights,
                                const gradient_plan *plan, const places *rows, lanes *row) {
    const ptrdiff_t stride = plan->across.stride, width = plan->copied;
    ptrdiff_t pairs = 0;
#define THREE(m, size) sum_three(gradient, width, weights, rows, m, 0, 0, size, -1, row + (m))
#define PAIRS(m, size) sum_pairs(gradient + (m), width, weights, rows, size, row + 2 * (m))
#define ANY(m, size)                                                                               \
    sum_places(gradient + (m), width, 1, weights, plan->across.kernel, rows, &plan->open[p], 0, 0, \
               size, row + (m) * stride + p, stride)
    if (plan->is_three) {
        FOR_RUNS(0, plan->width, 8, THREE)
    } else {
        if (plan->is_two) {
            pairs = plan->counts[1];
            FOR_RUNS(0, pairs, 4, PAIRS)
        }
        for (ptrdiff_t p = 0; p < stride; p++) FOR_RUNS(pairs, plan->counts[p], 8, ANY)
    }
#undef THREE
#undef PAIRS
#undef ANY
}

// Computes a row of the input gradient from the rows themselves. Near an edge, columns are computed
// one by one.
CONVOY_INLINE void plain_row(const lanes *gradient, const float *weights,
                             const gradient_plan *plan, const places *rows, lanes *row) {
    const axis *across = &plan->across;
    const ptrdiff_t stride = across->stride, outputs = across->outputs;
    for (ptrdiff_t p = 0; p < stride && p < plan->width; p++) {
        const ptrdiff_t count = (plan->width - p + stride - 1) / stride;
        places columns = readers(across, 0, p, 1);
        const ptrdiff_t farthest = columns.source + (columns.count - 1) * columns.move;
        ptrdiff_t begin = farthest < 0 ? -farthest : 0, end = outputs - columns.source;
        if (begin > count) begin = count;
        if (end > count) end = count;
        if (end < begin) end = begin;
#define ANY(m, size)                                                                               \
    sum_places(gradient + (m), outputs, 1, weights, across->kernel, rows, &columns, 0, 0, size,    \
               row + (m) * stride + p, stride)
        FOR_RUNS(begin, end, 8, ANY)
#undef ANY
        for (ptrdiff_t m = begin > 0 ? 0 : end; m < count; m = m + 1 == begin ? end : m + 1) {
            columns = readers(across, m, p, 0);
            sum_places(gradient, outputs, 1, weights, across->kernel, rows, &columns, 0, 0, 1,
                       row + m * stride + p, stride);
        }
    }
}

CONVOY_INLINE void convoy_lanes_depthwise_input_gradient_body(const float *output_gradient,
                                                              const float *weights,
                                                              float *input_gradient,
                                                              ptrdiff_t channels,
                                                              const convoy_depthwise *shape) {
    gradient_plan plan;
    plan_gradient(shape, &plan);
    const ptrdiff_t outputs = shape->output_width, fitting = COPY / plan.copied;
    lanes copy[COPY];
    for (ptrdiff_t i = 0; plan.is_bordered && i < fitting * plan.copied; i++)
        copy[i] = (lanes)(0.0f);

    const lanes *g = (const lanes *)output_gradient;
    lanes *row = (lanes *)input_gradient;
    for (ptrdiff_t c = 0; c < channels; c++) {
        // Row y is quotient * stride + phase. Rows begin ..< end of the output gradient are copied.
        ptrdiff_t quotient = 0, phase = 0, begin = 0, end = 0;
        for (ptrdiff_t y = 0; y < shape->input_height; y++, row += plan.width) {
            places rows = y < ROWS ? plan.rows[y] : readers(&plan.down, quotient, phase, 0);
            if (plan.is_bordered) {
                if (quotient >= end && end < shape->output_height) {
                    begin = quotient > plan.reach ? quotient - plan.reach : 0;
                    end = begin + fitting;
                    if (end > shape->output_height) end = shape->output_height;
                    for (ptrdiff_t r = begin; r < end; r++) {
                        lanes *to = copy + (r - begin) * plan.copied + plan.left;
                        for (ptrdiff_t x = 0; x < outputs; x++) to[x] = g[r * outputs + x];
                    }
                }
                rows.source -= begin;
                bordered_row(copy + plan.left, weights, &plan, &rows, row);
            } else {
                plain_row(g, weights, &plan, &rows, row);
            }
            phase++;
            if (phase == shape->stride_height) {
                phase = 0;
                quotient++;
            }
        }
        g += shape->output_height * outputs;
        weights += shape->kernel_height * shape->kernel_width;
    }
}

CONVOY_LANE_FUNCTION(convoy_lanes_depthwise_input_gradient,
                     (const float *output_gradient, const float *weights, float *input_gradient,
                      ptrdiff_t channels, const convoy_depthwise *shape),
                     (output_gradient, weights, input_gradient, channels, shape))
