#include "depthwise_kernels.h"
#include "lanes.h"

#pragma STDC FP_CONTRACT OFF

// The number of adjacent sums that are computed at a time. Eight keep two multipliers with a latency
// of four cycles busy.
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

// Runs RUN(at, width) for all positions begin ..< end, eight or four at a time where there are as
// many. The last positions may be computed twice, which is cheaper than one at a time.
#define FOR_RUNS(begin, end, RUN)                                                                  \
    for (ptrdiff_t at = begin; at < (end);) {                                                      \
        const ptrdiff_t rest = (end)-at, all = (end) - (begin);                                    \
        if (rest > 4 && all >= 8) {                                                                \
            at = rest < 8 ? (end)-8 : at;                                                          \
            RUN(at, 8);                                                                            \
            at += 8;                                                                               \
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
                FOR_RUNS(0, outputs, THREE)
            } else if (is_three && step == 2) {
                FOR_RUNS(0, outputs, THREE_BY_TWO)
            } else {
                FOR_RUNS(0, outputs, ANY)
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

// Computes the input gradient of those columns of a row whose remainder by the stride is `phase`.
// Away from the edges they all are read through the same places of the kernel.
CONVOY_INLINE void gradient_phase(const lanes *gradient, const float *weights, const axis *across,
                                  const places *rows, ptrdiff_t phase, ptrdiff_t count, int is_three,
                                  lanes *row) {
    const ptrdiff_t width = across->outputs, stride = across->stride;
    places columns = readers(across, 0, phase, 1);
    const ptrdiff_t nearest = columns.source;
    const ptrdiff_t farthest = nearest + (columns.count - 1) * columns.move;
    ptrdiff_t begin = farthest < 0 ? -farthest : 0, end = width - nearest;
    if (begin > count) begin = count;
    if (end > count) end = count;
    if (end < begin) end = begin;
#define ANY(m, size)                                                                               \
    sum_places(gradient + (m), width, 1, weights, across->kernel, rows, &columns, 0, 0, size,      \
               row + (m) * stride + phase, stride)
#define THREE(m, size) sum_three(gradient, width, weights, rows, m, 0, 0, size, -1, row + (m))
    if (is_three) {
        FOR_RUNS(begin, end, THREE)
    } else {
        FOR_RUNS(begin, end, ANY)
    }
    for (ptrdiff_t m = 0; m < count; m++) {
        if (m == begin) m = end;
        if (m == count) break;
        columns = readers(across, m, phase, 0);
        sum_places(gradient, width, 1, weights, across->kernel, rows, &columns, 0, 0, 1,
                   row + m * stride + phase, stride);
    }
#undef ANY
#undef THREE
}

CONVOY_INLINE void convoy_lanes_depthwise_input_gradient_body(const float *output_gradient,
                                                              const float *weights,
                                                              float *input_gradient,
                                                              ptrdiff_t channels,
                                                              const convoy_depthwise *shape) {
    const axis down = axis_of(shape->kernel_height, shape->stride_height, shape->dilation_height,
                              shape->output_height);
    const axis across = axis_of(shape->kernel_width, shape->stride_width, shape->dilation_width,
                                shape->output_width);
    const ptrdiff_t width = shape->input_width, stride = shape->stride_width;
    const int is_three = across.kernel == 3 && stride == 1 && shape->dilation_width == 1;
    const lanes *g = (const lanes *)output_gradient;
    lanes *row = (lanes *)input_gradient;
    for (ptrdiff_t c = 0; c < channels; c++) {
        ptrdiff_t quotient = 0, phase = 0;
        for (ptrdiff_t y = 0; y < shape->input_height; y++) {
            const places rows = readers(&down, quotient, phase, 0);
            for (ptrdiff_t p = 0; p < stride && p < width; p++)
                gradient_phase(g, weights, &across, &rows, p, (width - p + stride - 1) / stride,
                               is_three, row);
            row += width;
            phase++;
            if (phase == shape->stride_height) {
                phase = 0;
                quotient++;
            }
        }
        g += shape->output_height * shape->output_width;
        weights += shape->kernel_height * shape->kernel_width;
    }
}

CONVOY_LANE_FUNCTION(convoy_lanes_depthwise_input_gradient,
                     (const float *output_gradient, const float *weights, float *input_gradient,
                      ptrdiff_t channels, const convoy_depthwise *shape),
                     (output_gradient, weights, input_gradient, channels, shape))

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
