// Prints a hash of the bits of each kernel's results, a line a kernel: `NAME HASH`. The inputs come
// from a hash too, so two processors that print the same lines compute the same bits.
//
// Usage: kernel_bits [LEVEL], the version of the code at best; see convoy_lanes_level.
// Scripts/engines/kernels.sh compiles this with Sources/CKernels for several processors.
#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "activation_kernels.h"
#include "convoy_kernels.h"
#include "depthwise_kernels.h"
#include "lane_elementwise_kernels.h"
#include "lane_kernels.h"
#include "normalization_kernels.h"
#include "pixel_kernels.h"
#include "winograd_kernels.h"

// MARK: numbers and hashes

static _Alignas(64) unsigned char arena[96 << 20];
static size_t used;
static uint64_t hash;

static void *zeros(size_t byte_count) {
    const size_t rounded = (byte_count + 127) / 64 * 64;
    if (used + rounded > sizeof(arena)) {
        fprintf(stderr, "kernel_bits: the cases need more memory than there is\n");
        exit(1);
    }
    void *place = arena + used;
    used += rounded;
    memset(place, 0, rounded);
    return place;
}

static uint32_t mixed(uint32_t value) {
    value = (value ^ (value >> 16)) * 0x7FEB352Du;
    value = (value ^ (value >> 15)) * 0x846CA68Bu;
    return value ^ (value >> 16);
}

static float *empty(size_t count) { return zeros(count * sizeof(float)); }

// Returns numbers from -2 to 2 with all bits of a float in use; some are zero.
static float *numbers(size_t count, uint32_t seed) {
    float *values = empty(count);
    for (size_t i = 0; i < count; i++) {
        const uint32_t bits = mixed((uint32_t)i * 2654435761u + seed);
        values[i] = bits % 13 == 0 ? 0.0f : ((float)(bits >> 8) - 8388608.0f) / 4194304.0f;
    }
    return values;
}

static float *positive(size_t count, uint32_t seed) {
    float *values = numbers(count, seed);
    for (size_t i = 0; i < count; i++) values[i] = 0.01f + fabsf(values[i]);
    return values;
}

static int32_t *places(size_t count, int32_t low, int32_t high, uint32_t seed) {
    int32_t *values = zeros(count * sizeof(int32_t));
    for (size_t i = 0; i < count; i++)
        values[i] = low + (int32_t)(mixed((uint32_t)i + seed) % (uint32_t)(high - low + 1));
    return values;
}

static void add(const void *bytes, size_t byte_count) {
    for (size_t i = 0; i < byte_count; i++)
        hash = (hash ^ ((const unsigned char *)bytes)[i]) * 0x100000001B3u;
}

static void add_floats(const float *values, size_t count) { add(values, count * sizeof(float)); }

static void begin(void) {
    hash = 0xCBF29CE484222325u;
    used = 0;
}

static void end(const char *name) { printf("%s %016llx\n", name, (unsigned long long)hash); }

// MARK: convolutions

typedef struct {
    ptrdiff_t channels, outputs, height, width, kernel, stride;
} convolution;

static const convolution convolutions[] = {
    {1, 1, 3, 3, 3, 1},     {3, 7, 9, 12, 3, 1},  {8, 8, 8, 8, 1, 1},   {5, 13, 11, 7, 3, 2},
    {2, 16, 17, 10, 5, 1},  {9, 4, 6, 15, 2, 1},  {16, 9, 7, 20, 3, 1}, {4, 5, 13, 13, 4, 3},
    {17, 33, 5, 6, 3, 1},
};
enum { CONVOLUTIONS = sizeof(convolutions) / sizeof(convolutions[0]) };

static void direct_convolutions(void) {
    for (int is_gradient = 0; is_gradient < 2; is_gradient++) {
        begin();
        for (int i = 0; i < CONVOLUTIONS; i++) {
            const convolution c = convolutions[i];
            const ptrdiff_t size = c.kernel * c.kernel;
            const ptrdiff_t rows = (c.height - c.kernel) / c.stride + 1;
            const ptrdiff_t columns = (c.width - c.kernel) / c.stride + 1;
            const ptrdiff_t plane = c.height * c.width * 8, target = rows * columns * 8;
            const float *input = numbers((size_t)(c.channels * plane), 1);
            const float *gradient = numbers((size_t)(c.outputs * target), 2);
            int32_t *taps = zeros((size_t)(c.channels * size) * 4);
            for (ptrdiff_t t = 0; t < c.channels * size; t++) {
                const ptrdiff_t k = t % size;
                taps[t] = (int32_t)(t / size * plane + (k / c.kernel * c.width + k % c.kernel) * 8);
            }
            if (is_gradient) {
                const convoy_lane_walk walk = {rows, columns, c.stride * c.width * 8, c.stride * 8};
                float *sums = numbers((size_t)(c.outputs * c.channels * size), 3);
                convoy_lanes_weight_gradient(input, gradient, c.outputs, taps, c.channels * size,
                                             &walk, sums, i % 2);
                add_floats(sums, (size_t)(c.outputs * c.channels * size));
                continue;
            }
            const float *weights = numbers((size_t)(c.outputs * c.channels * size), 4);
            const float *bias = numbers((size_t)c.outputs, 5);
            float *packed = empty((size_t)((c.outputs + 3) / 4 * 4 * c.channels * size));
            convoy_lanes_pack(weights, c.outputs, c.channels, size, packed);
            int32_t *sources = zeros((size_t)(rows * columns) * 4);
            int32_t *targets = zeros((size_t)(rows * columns) * 4);
            for (ptrdiff_t p = 0; p < rows * columns; p++) {
                sources[p] = (int32_t)((p / columns * c.width + p % columns) * c.stride * 8);
                targets[p] = (int32_t)(p * 8);
            }
            // All taps, and some of them.
            int32_t *where = zeros((size_t)size * 4);
            for (ptrdiff_t t = 0; t < size; t++) where[t] = (int32_t)(size - 1 - t);
            const convoy_lane_shape shape = {c.channels, plane, c.outputs, target, size, i % 2};
            float *output = empty((size_t)(c.outputs * target));
            for (int is_part = 0; is_part < 2; is_part++) {
                const convoy_lane_group group = {taps,    is_part ? where : 0,
                                                 is_part ? (size + 1) / 2 : size,
                                                 sources, targets, rows * columns};
                convoy_lanes_correlate(input, packed, is_part ? 0 : bias, output, &shape, &group, 0,
                                       c.outputs);
                add_floats(output, (size_t)(c.outputs * target));
            }
        }
        end(is_gradient ? "convoy_lanes_weight_gradient" : "convoy_lanes_correlate");
    }
    for (int is_transposed = 0; is_transposed < 2; is_transposed++) {
        begin();
        for (int i = 0; i < CONVOLUTIONS; i++) {
            const convolution c = convolutions[i];
            const ptrdiff_t size = c.kernel * c.kernel;
            const size_t count =
                (size_t)((c.outputs + 3) / 4 * 4 * ((c.channels + 3) / 4 * 4) * size);
            const float *weights = numbers((size_t)(c.outputs * c.channels * size), 6);
            float *packed = empty(count);
            if (is_transposed) {
                convoy_lanes_pack_transposed(weights, c.outputs, c.channels, size, packed);
            } else {
                convoy_lanes_pack(weights, c.outputs, c.channels, size, packed);
            }
            add_floats(packed, count);
        }
        end(is_transposed ? "convoy_lanes_pack_transposed" : "convoy_lanes_pack");
    }
    begin();
    for (ptrdiff_t positions = 1; positions < 14; positions++) {
        float sums[3] = {1, 2, 3};
        const float *gradient = numbers((size_t)(3 * positions * 8), 7);
        convoy_lanes_bias_gradient(gradient, 3, positions, sums, (int)(positions % 2));
        add_floats(sums, 3);
    }
    end("convoy_lanes_bias_gradient");
}

static const convoy_depthwise depthwise_shapes[] = {
    {9, 9, 7, 7, 3, 3, 1, 1, 1, 1},   {9, 12, 4, 5, 3, 3, 2, 2, 1, 1},
    {11, 8, 7, 4, 5, 5, 1, 1, 1, 1},  {10, 13, 6, 9, 3, 3, 1, 1, 2, 2},
    {1, 40, 1, 32, 1, 9, 1, 1, 1, 1}, {12, 10, 3, 3, 4, 2, 3, 3, 1, 2},
};

static void depthwise(void) {
    for (int kind = 0; kind < 3; kind++) {
        begin();
        for (size_t i = 0; i < sizeof(depthwise_shapes) / sizeof(depthwise_shapes[0]); i++) {
            const convoy_depthwise s = depthwise_shapes[i];
            const ptrdiff_t channels = 3, size = s.kernel_height * s.kernel_width;
            const size_t from = (size_t)(channels * s.input_height * s.input_width * 8);
            const size_t to = (size_t)(channels * s.output_height * s.output_width * 8);
            const float *weights = numbers((size_t)(channels * size), 11);
            if (kind == 0) {
                float *output = empty(to);
                convoy_lanes_depthwise(numbers(from, 12), weights, numbers(3, 13), output, channels,
                                       &s, (int)(i % 2));
                add_floats(output, to);
            } else if (kind == 1) {
                float *gradient = empty(from);
                convoy_lanes_depthwise_input_gradient(numbers(to, 14), weights, gradient, channels,
                                                      &s);
                add_floats(gradient, from);
            } else {
                float *gradient = numbers((size_t)(channels * size), 15);
                convoy_lanes_depthwise_weight_gradient(numbers(from, 16), numbers(to, 17), gradient,
                                                       channels, &s, (int)(i % 2));
                add_floats(gradient, (size_t)(channels * size));
            }
        }
        end(kind == 0   ? "convoy_lanes_depthwise"
            : kind == 1 ? "convoy_lanes_depthwise_input_gradient"
                        : "convoy_lanes_depthwise_weight_gradient");
    }
}

// MARK: Winograd

// Channels, outputs, and height and width of the input with its padding. The widths leave over
// every number of tiles.
static const ptrdiff_t winograd_shapes[][4] = {
    {8, 3, 6, 6},   {16, 17, 9, 12}, {24, 8, 7, 15},    {8, 12, 18, 18},
    {40, 5, 5, 34}, {32, 32, 10, 9}, {512, 260, 6, 6},
};
enum { WINOGRADS = sizeof(winograd_shapes) / sizeof(winograd_shapes[0]) };

typedef enum { INPUT, BY_IMAGE, MULTIPLY, MULTIPLY_GRADIENT, OUTPUT, POOLED, OUTPUT_GRADIENT,
               POOLED_GRADIENT, INPUT_GRADIENT, PACK, UNPACK, WINOGRAD_KINDS } winograd_kind;
static const char *const winograd_names[] = {
    "convoy_winograd_input",           "convoy_winograd_input_by_image",
    "convoy_winograd_multiply",        "convoy_winograd_multiply_gradient",
    "convoy_winograd_output",          "convoy_winograd_output_pooled",
    "convoy_winograd_output_gradient", "convoy_winograd_pooled_gradient",
    "convoy_winograd_input_gradient",  "convoy_winograd_pack",
    "convoy_winograd_unpack_gradient",
};

// Runs one map on all blocks of tiles, or one product for every number of tiles.
static void winograd_case(winograd_kind kind, const ptrdiff_t sizes[4]) {
    const convoy_winograd_shape s = {
        sizes[0],     sizes[1],          sizes[2],
        sizes[3],     sizes[2] - 2,      sizes[3] - 2,
        (sizes[2] - 1) / 2, (sizes[3] - 1) / 2};
    const ptrdiff_t tiles = s.tile_rows * s.tile_columns, most = CONVOY_WINOGRAD_TILES;
    const size_t from = (size_t)(s.channels * s.input_height * s.input_width * 8);
    const size_t to = (size_t)(s.outputs * s.output_height * s.output_width * 8);
    const size_t pooled = (size_t)(s.outputs * tiles * 8);
    const ptrdiff_t widest = s.channels > s.outputs ? s.channels : s.outputs;
    const size_t points = 16 * (size_t)convoy_winograd_point(widest * most * 8);
    const size_t packed = 16 * (size_t)convoy_winograd_packed_point(s.outputs, s.channels);
    const size_t exchanged = 16 * (size_t)convoy_winograd_packed_point(s.channels, s.outputs);
    if (kind == PACK) {
        const float *weights = numbers((size_t)(s.outputs * s.channels * 9), 21);
        float *first = empty(packed), *second = empty(exchanged);
        convoy_winograd_pack(weights, s.outputs, s.channels, first, second);
        add_floats(first, packed);
        add_floats(second, exchanged);
        return;
    }
    if (kind == UNPACK) {
        const size_t count = (size_t)(s.outputs * s.channels);
        float *gradient = empty(count * 9);
        convoy_winograd_unpack_gradient(
            numbers(16 * (size_t)convoy_winograd_point((ptrdiff_t)count), 22), (ptrdiff_t)count,
            gradient);
        add_floats(gradient, count * 9);
        return;
    }
    const float *values = numbers(points, 23), *input = numbers(from, 24);
    const float *gradient = numbers(to, 25), *pooled_gradient = numbers(pooled, 26);
    const float *bias = numbers((size_t)s.outputs, 27), *weights = numbers(packed, 28);
    const int32_t *chosen = places(pooled, -1, 3, 29);
    float *result = empty(points), *image = empty(from), *output = empty(to);
    float *maxima = empty(pooled), *sums = numbers((size_t)(s.outputs * s.channels), 30);
    int32_t *choice = zeros(pooled * 4);
    for (ptrdiff_t first = 0, block = 0; first < tiles; block++) {
        ptrdiff_t count = most - block % most;
        if (count > tiles - first) count = tiles - first;
        switch (kind) {
        case INPUT: convoy_winograd_input(input, &s, first, count, result); break;
        case BY_IMAGE: convoy_winograd_input_by_image(input, &s, first, count, result); break;
        case MULTIPLY:
            convoy_winograd_multiply(weights, values, s.outputs, s.channels, count, result);
            break;
        case MULTIPLY_GRADIENT:
            convoy_winograd_multiply_gradient(gradient, values, s.outputs, s.channels,
                                              count * 8 < (ptrdiff_t)to / s.outputs ? count * 8 : 8,
                                              sums, (int)(block % 2));
            break;
        case OUTPUT:
            convoy_winograd_output(values, bias, &s, first, count, (int)(block % 2), output);
            break;
        case POOLED:
            convoy_winograd_output_pooled(values, bias, &s, first, count, (int)(block % 2), maxima,
                                          choice);
            break;
        case OUTPUT_GRADIENT:
            convoy_winograd_output_gradient(gradient, &s, first, count, result);
            break;
        case POOLED_GRADIENT:
            convoy_winograd_pooled_gradient(pooled_gradient, chosen, &s, first, count, result);
            break;
        default: convoy_winograd_input_gradient(values, &s, first, count, image); break;
        }
        add_floats(result, points);
        first += count;
    }
    add_floats(image, from);
    add_floats(output, to);
    add_floats(maxima, pooled);
    add(choice, pooled * 4);
    add_floats(sums, (size_t)(s.outputs * s.channels));
}

static void winograd(void) {
    for (winograd_kind kind = INPUT; kind < WINOGRAD_KINDS; kind++) {
        begin();
        for (int i = 0; i < WINOGRADS; i++) {
            // The last shape is that of a wide layer, whose weights are packed in another way.
            if (i == WINOGRADS - 1 && kind != PACK && kind != MULTIPLY) continue;
            used = 0;
            winograd_case(kind, winograd_shapes[i]);
        }
        end(winograd_names[kind]);
    }
}

// MARK: dense layers, pools and rows

static void dense(void) {
    static const ptrdiff_t sizes[][2] = {{1, 1}, {7, 9}, {33, 17}, {64, 40}, {77, 45}, {130, 3}};
    enum { COUNT = sizeof(sizes) / sizeof(sizes[0]) };
    static const char *const names[] = {"convoy_lanes_dense", "convoy_lanes_dense_input_gradient",
                                        "convoy_rows_dense_weight_gradient",
                                        "convoy_rows_bias_gradient"};
    for (int kind = 0; kind < 4; kind++) {
        begin();
        for (int i = 0; i < COUNT; i++) {
            const ptrdiff_t inputs = sizes[i][0], outputs = sizes[i][1], rows = 8 + i;
            const float *weights = numbers((size_t)(inputs * outputs), 31);
            if (kind == 0) {
                float *output = empty((size_t)outputs * 8);
                convoy_lanes_dense(numbers((size_t)inputs * 8, 32), weights,
                                   numbers((size_t)outputs, 33), output, inputs, outputs, i % 2);
                add_floats(output, (size_t)outputs * 8);
            } else if (kind == 1) {
                float *gradient = numbers((size_t)inputs * 8, 40);
                convoy_lanes_dense_input_gradient(numbers((size_t)outputs * 8, 34), weights,
                                                  gradient, inputs, outputs, i % 2);
                add_floats(gradient, (size_t)inputs * 8);
            } else if (kind == 2) {
                float *gradient = numbers((size_t)(inputs * outputs), 35);
                convoy_rows_dense_weight_gradient(numbers((size_t)(inputs * rows), 36),
                                                  numbers((size_t)(outputs * rows), 37), rows,
                                                  inputs, outputs, gradient, i % 2);
                add_floats(gradient, (size_t)(inputs * outputs));
            } else {
                float *gradient = numbers((size_t)outputs, 38);
                convoy_rows_bias_gradient(numbers((size_t)(outputs * rows), 39), rows, outputs,
                                          gradient, i % 2);
                add_floats(gradient, (size_t)outputs);
            }
        }
        end(names[kind]);
    }
    begin();
    float *lanes = empty(37 * 8), *rows = empty(37 * 8);
    convoy_lanes_from_rows(numbers(5 * 37, 41), 5, 37, lanes);
    add_floats(lanes, 37 * 8);
    end("convoy_lanes_from_rows");
    begin();
    convoy_lanes_to_rows(numbers(37 * 8, 42), 37, rows);
    add_floats(rows, 37 * 8);
    end("convoy_lanes_to_rows");
}

static const convoy_lane_pool pools[] = {
    {8, 9, 4, 4, 2, 2, 2, 2, 0, 0},
    {7, 7, 4, 4, 3, 3, 2, 2, 1, 1},
    {6, 11, 5, 5, 2, 3, 1, 2, 0, 0},
};

static void pooling(void) {
    for (int kind = 0; kind < 4; kind++) {
        begin();
        for (int i = 0; i < 3; i++) {
            const convoy_lane_pool p = pools[i];
            const size_t from = (size_t)(3 * p.input_height * p.input_width * 8);
            const size_t to = (size_t)(3 * p.output_height * p.output_width * 8);
            float *image = empty(from), *output = empty(to);
            int32_t *choice = zeros(to * 4);
            if (kind == 0) {
                convoy_lanes_max_pool(numbers(from, 51), output, choice, 3, &p, i % 2);
            } else if (kind == 1) {
                convoy_lanes_max_pool(numbers(from, 51), output, choice, 3, &p, 0);
                convoy_lanes_max_pool_backward(numbers(to, 52), choice, image, 3, &p);
            } else if (kind == 2) {
                convoy_lanes_average_pool(numbers(from, 53), output, 3, &p, i % 2);
            } else {
                convoy_lanes_average_pool_backward(numbers(to, 54), image, 3, &p, i % 2);
            }
            add_floats(image, from);
            add_floats(output, to);
            add(choice, to * 4);
        }
        static const char *const names[] = {
            "convoy_lanes_max_pool", "convoy_lanes_max_pool_backward", "convoy_lanes_average_pool",
            "convoy_lanes_average_pool_backward"};
        end(names[kind]);
    }
    for (int is_backward = 0; is_backward < 2; is_backward++) {
        begin();
        for (ptrdiff_t positions = 1; positions < 40; positions += 6) {
            float *one = empty(3 * 8), *all = empty((size_t)(3 * positions * 8));
            if (is_backward) {
                convoy_lanes_global_average_backward(numbers(3 * 8, 55), all, 3, positions);
            } else {
                convoy_lanes_global_average(numbers((size_t)(3 * positions * 8), 56), one, 3,
                                            positions);
            }
            add_floats(one, 3 * 8);
            add_floats(all, (size_t)(3 * positions * 8));
        }
        end(is_backward ? "convoy_lanes_global_average_backward" : "convoy_lanes_global_average");
    }
}

// MARK: normalisations, activations and gates

static void normalizations(void) {
    static const ptrdiff_t sizes[][3] = {{3, 1, 8}, {5, 37, 8}, {4, 64, 3}, {2, 17, 1}};
    static const char *const names[] = {
        "convoy_lanes_moments",       "convoy_lanes_affine",
        "convoy_lanes_norm_gradient_sums", "convoy_lanes_norm_gradient",
        "convoy_lanes_group_norm",    "convoy_lanes_group_norm_backward"};
    for (int kind = 0; kind < 6; kind++) {
        begin();
        for (int i = 0; i < 4; i++) {
            const ptrdiff_t channels = sizes[i][0], positions = sizes[i][1], count = sizes[i][2];
            const size_t all = (size_t)(channels * positions * 8), few = (size_t)channels;
            const float *x = numbers(all, 61), *a = numbers(few, 62), *b = numbers(few, 63);
            const float *c = numbers(few, 64), *skip = numbers(all, 65);
            float *y = numbers(all, 66), *scales = numbers(few, 67), *shifts = numbers(few, 68);
            double *mean = zeros(few * 8), *squares = zeros(few * 8);
            float *lane_mean = numbers(8, 69), *inverse = positive(8, 70);
            if (kind == 0) {
                convoy_lanes_moments(x, channels, positions, count, mean, squares);
            } else if (kind == 1) {
                convoy_lanes_affine(x, i % 2 ? skip : 0, a, b, y, channels, positions, count,
                                    i / 2);
            } else if (kind == 2) {
                convoy_lanes_norm_gradient_sums(y, i % 2 ? skip : 0, x, a, channels, positions,
                                                mean, squares);
            } else if (kind == 3) {
                convoy_lanes_norm_gradient(skip, x, a, b, c, y, channels, positions, count);
            } else if (kind == 4) {
                convoy_lanes_group_norm(x, a, b, 1e-5f, y, lane_mean, inverse, channels, 1,
                                        positions);
            } else {
                convoy_lanes_group_norm_backward(skip, x, a, lane_mean, inverse, y, scales, shifts,
                                                 channels, 1, positions, i % 2);
            }
            add_floats(y, all);
            add(mean, few * 8);
            add(squares, few * 8);
            add_floats(lane_mean, 8);
            add_floats(inverse, 8);
            add_floats(scales, few);
            add_floats(shifts, few);
        }
        end(names[kind]);
    }
}

static void activations(void) {
    enum { COUNT = 203 };
    for (int is_backward = 0; is_backward < 2; is_backward++) {
        begin();
        for (int kind = CONVOY_RELU6; kind <= CONVOY_GELU; kind++) {
            float *x = numbers(COUNT, 71), *y = empty(COUNT);
            for (int i = 0; i < COUNT; i++) x[i] *= (float)(1 + i % 9);
            if (is_backward) {
                convoy_lanes_activate_backward((convoy_activation)kind, 0.01f, x,
                                               numbers(COUNT, 72), y, COUNT);
            } else {
                convoy_lanes_activate((convoy_activation)kind, 0.01f, x, y, COUNT);
            }
            add_floats(y, COUNT);
        }
        end(is_backward ? "convoy_lanes_activate_backward" : "convoy_lanes_activate");
    }
    for (int is_backward = 0; is_backward < 2; is_backward++) {
        begin();
        for (ptrdiff_t positions = 1; positions < 40; positions += 5) {
            const size_t all = (size_t)(3 * positions * 8);
            const float *x = numbers(all, 73), *gate = numbers(3 * 8, 74);
            float *y = empty(all), *gate_gradient = empty(3 * 8);
            if (is_backward) {
                convoy_lanes_multiply_backward(numbers(all, 75), x, gate, y, gate_gradient, 3,
                                               positions);
            } else {
                convoy_lanes_multiply(x, gate, y, 3, positions);
            }
            add_floats(y, all);
            add_floats(gate_gradient, 3 * 8);
        }
        end(is_backward ? "convoy_lanes_multiply_backward" : "convoy_lanes_multiply");
    }
}

// MARK: kernels of blocked layouts, which oneDNN's backend uses

static uint16_t *halves(size_t count, uint32_t seed) {
    uint16_t *values = zeros(count * 2);
    convoy_bf16_pack(values, numbers(count, seed), (ptrdiff_t)count);
    return values;
}

static void blocked(void) {
    enum { COUNT = 211 };
    const convoy_pool_shape shape = {3, 16, 7, 9, 4, 4, 3, 3, 2, 2, 1, 0};
    const size_t from = 3 * 7 * 9 * 16, to = 3 * 4 * 4 * 16;
    for (int kind = 0; kind < 4; kind++) {
        begin();
        uint16_t *choice = zeros(to * 2);
        float *image = empty(from), *output = empty(to);
        uint16_t *half_image = zeros(from * 2), *half_output = zeros(to * 2);
        if (kind % 2 == 0) convoy_max_pool(numbers(from, 81), output, choice, &shape, kind / 2);
        if (kind % 2 == 1)
            convoy_max_pool_bf16(halves(from, 81), half_output, choice, &shape, kind / 2);
        if (kind == 2) convoy_max_pool_backward(numbers(to, 82), choice, image, &shape);
        if (kind == 3) convoy_max_pool_backward_bf16(halves(to, 82), choice, half_image, &shape);
        add_floats(image, from);
        add_floats(output, to);
        add(half_image, from * 2);
        add(half_output, to * 2);
        add(choice, to * 2);
        static const char *const names[] = {"convoy_max_pool", "convoy_max_pool_bf16",
                                            "convoy_max_pool_backward",
                                            "convoy_max_pool_backward_bf16"};
        end(names[kind]);
    }
    float *values = numbers(COUNT, 83);
    uint16_t *small = halves(COUNT, 84);
#define CASE(name, call, bytes, size)                                                              \
    begin();                                                                                       \
    values = numbers(COUNT, 83);                                                                   \
    small = halves(COUNT, 84);                                                                     \
    call;                                                                                          \
    add(bytes, size);                                                                              \
    end(name)
    CASE("convoy_relu", convoy_relu(values, COUNT), values, COUNT * 4);
    CASE("convoy_relu_bf16", convoy_relu_bf16(small, COUNT), small, COUNT * 2);
    CASE("convoy_relu_backward", convoy_relu_backward(values, numbers(COUNT, 85), COUNT), values,
         COUNT * 4);
    CASE("convoy_relu_backward_bf16", convoy_relu_backward_bf16(small, halves(COUNT, 85), COUNT),
         small, COUNT * 2);
    CASE("convoy_scale", convoy_scale(values, numbers(COUNT, 86), COUNT), values, COUNT * 4);
    CASE("convoy_scale_bf16", convoy_scale_bf16(small, numbers(COUNT, 86), COUNT), small,
         COUNT * 2);
    CASE("convoy_dropout_mask", convoy_dropout_mask(values, COUNT, 7, 9, 1u << 22, 1.25f), values,
         COUNT * 4);
#undef CASE
}

// MARK: elementwise kernels, optimizers and the loss

static void elementwise(void) {
    enum { COUNT = 211 };
    begin();
    float *values = empty(COUNT);
    convoy_add(values, numbers(COUNT, 91), numbers(COUNT, 92), COUNT);
    add_floats(values, COUNT);
    end("convoy_add");
    begin();
    values = empty(COUNT);
    convoy_scale_all(values, numbers(COUNT, 91), 1.0f / 3, COUNT);
    add_floats(values, COUNT);
    end("convoy_scale_all");
    begin();
    double sums[8] = {0};
    convoy_add_squares(sums, numbers(COUNT, 93), COUNT);
    add(sums, sizeof(sums));
    end("convoy_add_squares");
    begin();
    uint16_t *small = zeros(COUNT * 2);
    convoy_bf16_pack(small, numbers(COUNT, 94), COUNT);
    add(small, COUNT * 2);
    end("convoy_bf16_pack");
    begin();
    values = empty(COUNT);
    convoy_bf16_unpack(values, halves(COUNT, 94), COUNT);
    add_floats(values, COUNT);
    end("convoy_bf16_unpack");
    begin();
    values = empty(COUNT);
    convoy_bf16_round(values, numbers(COUNT, 94), COUNT);
    add_floats(values, COUNT);
    end("convoy_bf16_round");
    begin();
    small = zeros(COUNT * 2);
    convoy_bf16_add(small, halves(COUNT, 95), halves(COUNT, 96), COUNT);
    add(small, COUNT * 2);
    end("convoy_bf16_add");
}

static void learning(void) {
    enum { COUNT = 211 };
    begin();
    for (int i = 0; i < 4; i++) {
        const convoy_sgd_step step = {32, 0.05f, i ? 0.9f : 0, i == 2 ? 5e-4f : 0, i == 3};
        float *weights = numbers(COUNT, 101), *buffer = numbers(COUNT, 102);
        convoy_sgd(weights, weights, numbers(COUNT, 103), i ? buffer : 0, COUNT, &step);
        add_floats(weights, COUNT);
        add_floats(buffer, COUNT);
    }
    end("convoy_sgd");
    begin();
    for (int i = 0; i < 2; i++) {
        const convoy_adam_step step = {32,      0.002f, 0.9f,      0.1f, 0.999f, 0.001f,
                                       0.0447f, 1e-7f,  i ? 0.01f : 0, i ? 1 : 0.999f};
        float *weights = numbers(COUNT, 104), *first = numbers(COUNT, 105);
        float *second = positive(COUNT, 106);
        convoy_adam(weights, weights, numbers(COUNT, 107), first, second, COUNT, &step);
        add_floats(weights, COUNT);
        add_floats(first, COUNT);
        add_floats(second, COUNT);
    }
    end("convoy_adam");
    begin();
    for (int i = -800; i < 800; i++) {
        const double value = convoy_exp(i * 0.97);
        add(&value, 8);
    }
    end("convoy_exp");
    begin();
    for (int i = 1; i < 900; i++) {
        const double value = convoy_log(i * 0.37 + i * i * 1e3);
        add(&value, 8);
    }
    end("convoy_log");
    begin();
    float *logits = numbers(17 * 10, 108), *gradient = empty(17 * 10);
    double loss = 0;
    int64_t correct = 0;
    convoy_softmax_cross_entropy(logits, places(17, 0, 9, 109), 17, 10, gradient, &loss, &correct);
    add_floats(gradient, 17 * 10);
    add(&loss, sizeof(loss));
    add(&correct, sizeof(correct));
    end("convoy_softmax_cross_entropy");
}

// MARK: bytes of images

static uint8_t *pixels(size_t count, uint32_t seed) {
    uint8_t *bytes = zeros(count);
    for (size_t i = 0; i < count; i++) bytes[i] = (uint8_t)mixed((uint32_t)i * 40503u + seed);
    return bytes;
}

static void images(void) {
    enum { COUNT = 3 * 41 * 37, WIDTH = 37 };
    const uint8_t *first = pixels(COUNT, 121), *second = pixels(COUNT, 122);
    uint8_t *bytes = zeros(COUNT);
    float *floats = empty(COUNT);
    begin();
    convoy_bytes_to_floats(floats, first, COUNT, numbers(256, 123));
    add_floats(floats, COUNT);
    end("convoy_bytes_to_floats");
    begin();
    for (int i = 0; i < 40; i++) {
        convoy_bytes_stretch(bytes, first, COUNT, i * 6, (float)i * 0.083f);
        add(bytes, COUNT);
    }
    end("convoy_bytes_stretch");
    begin();
    for (int i = 0; i < 40; i++) {
        convoy_bytes_stretch_each(bytes, first, second, COUNT, (float)i * 0.083f);
        add(bytes, COUNT);
    }
    end("convoy_bytes_stretch_each");
    begin();
    convoy_bytes_grey(bytes, first, second, first + COUNT / 2, COUNT / 2);
    add(bytes, COUNT / 2);
    end("convoy_bytes_grey");
    begin();
    for (int i = 0; i < 90; i++) {
        const uint64_t sum = convoy_bytes_sum(first, i * 47);
        add(&sum, sizeof(sum));
    }
    end("convoy_bytes_sum");
    begin();
    for (uint32_t i = 0; i < 40; i++) {
        convoy_bytes_mix(bytes, first, second, COUNT, i * 65536u / 39u);
        add(bytes, COUNT);
    }
    end("convoy_bytes_mix");
    begin();
    convoy_bytes_mirror(bytes, first, COUNT / WIDTH, WIDTH);
    add(bytes, COUNT);
    end("convoy_bytes_mirror");
}

int main(int count, char **arguments) {
    if (count > 1) {
        const int level = atoi(arguments[1]);
        convoy_lanes_hold_back(level);
        if (convoy_lanes_level() != level) {
            fprintf(stderr, "kernel_bits: this processor has no level %d\n", level);
            return 3;
        }
    }
    direct_convolutions();
    depthwise();
    winograd();
    dense();
    pooling();
    normalizations();
    activations();
    blocked();
    elementwise();
    learning();
    images();
    return 0;
}
