#include "lanes.h"

#pragma STDC FP_CONTRACT OFF

#define OUTPUTS CONVOY_LANE_OUTPUTS
#define POSITIONS 3
#define WIDE_POSITIONS 6

// The version of the code that runs; -1 while that is not known.
static int chosen_level = -1;

static int best_level(void) {
#if defined(__x86_64__)
    __builtin_cpu_init();
    if (!__builtin_cpu_supports("avx2") || !__builtin_cpu_supports("fma")) return CONVOY_LEVEL_ANY;
    return __builtin_cpu_supports("avx512f") && __builtin_cpu_supports("avx512vl") &&
                   __builtin_cpu_supports("avx512bw") && __builtin_cpu_supports("avx512dq")
               ? CONVOY_LEVEL_AVX512
               : CONVOY_LEVEL_AVX2;
#else
    return CONVOY_LEVEL_AVX2;
#endif
}

int convoy_lanes_level(void) {
    int found = __atomic_load_n(&chosen_level, __ATOMIC_RELAXED);
    if (found >= 0) return found;
    found = best_level();
    __atomic_store_n(&chosen_level, found, __ATOMIC_RELAXED);
    return found;
}

void convoy_lanes_hold_back(int level) {
    const int best = best_level();
    __atomic_store_n(&chosen_level, level < best ? level : best, __ATOMIC_RELAXED);
}

// Computes four output channels at three positions, or at two. The sums stay in registers, and
// their factors come from loads and broadcasts. `width`, and usually the number of taps, are
// constants for the compiler.
CONVOY_INLINE void correlate_block(const float *source, const float *weights, const float *bias,
                                   float *target, const convoy_lane_shape *shape,
                                   const convoy_lane_group *group, ptrdiff_t tap_count,
                                   int is_whole, int width, const ptrdiff_t position[POSITIONS],
                                   ptrdiff_t stored) {
    lanes sum[OUTPUTS][POSITIONS];
    const float *places[POSITIONS];
    CONVOY_UNROLL
    for (int o = 0; o < OUTPUTS; o++) {
        lanes start = (lanes)(bias && o < stored ? bias[o] : 0.0f);
        CONVOY_UNROLL
        for (int p = 0; p < width; p++) sum[o][p] = start;
    }
    CONVOY_UNROLL
    for (int p = 0; p < width; p++) places[p] = source + group->sources[position[p]];
    const ptrdiff_t kernel = shape->kernel_size * OUTPUTS;
    const int32_t *taps = group->taps, *where = group->weights;
    for (ptrdiff_t c = 0; c < shape->source_channels; c++) {
        for (ptrdiff_t t = 0; t < tap_count; t++) {
            const float *w = weights + (is_whole ? t : where[t]) * OUTPUTS;
            const ptrdiff_t tap = taps[t];
            const lanes x0 = *(const lanes *)(places[0] + tap);
            const lanes x1 = *(const lanes *)(places[1] + tap);
            const float *last = width == POSITIONS ? places[2] + tap : 0;
            CONVOY_UNROLL
            for (int o = 0; o < OUTPUTS; o++) {
                lanes factor = (lanes)(w[o]);
                sum[o][0] = convoy_fma(factor, x0, sum[o][0]);
                sum[o][1] = convoy_fma(factor, x1, sum[o][1]);
                if (width < POSITIONS) continue;
                // The compiler must read this value from the first-level cache each time, because
                // sixteen registers cannot hold it too.
                __asm__("" : "+r"(last));
                sum[o][2] = convoy_fma(factor, *(const lanes *)last, sum[o][2]);
            }
        }
        weights += kernel;
        CONVOY_UNROLL
        for (int p = 0; p < width; p++) places[p] += shape->source_plane;
    }
    CONVOY_UNROLL
    for (int o = 0; o < OUTPUTS; o++) {
        if (o >= stored) break;
        CONVOY_UNROLL
        for (int p = 0; p < width; p++) {
            lanes value = sum[o][p];
            if (shape->relu) value = value < 0 ? (lanes)(0.0f) : value;
            *(lanes *)(target + o * shape->target_plane + group->targets[position[p]]) = value;
        }
    }
}

// The outer loop goes over positions, the inner one over output channels. So the inputs of a
// position stay in the first-level cache while the weights of all channels are read.
CONVOY_INLINE void correlate_group(const float *source, const float *weights, const float *bias,
                                   float *target, const convoy_lane_shape *shape,
                                   const convoy_lane_group *group, ptrdiff_t first, ptrdiff_t count,
                                   ptrdiff_t tap_count, int is_whole) {
    const ptrdiff_t block = shape->source_channels * shape->kernel_size * OUTPUTS;
    ptrdiff_t position = 0;
    while (position < group->position_count) {
        // The last four positions are computed as two pairs. A single last one is computed twice.
        const ptrdiff_t rest = group->position_count - position;
        const int width = rest < 3 || rest == 4 ? 2 : 3;
        const ptrdiff_t last = group->position_count - 1;
        const ptrdiff_t places[POSITIONS] = {position, position < last ? position + 1 : last,
                                             position + 2};
        for (ptrdiff_t o = first; o < first + count; o += OUTPUTS) {
            const ptrdiff_t left = first + count - o, stored = left < OUTPUTS ? left : OUTPUTS;
            const float *w = weights + o / OUTPUTS * block, *b = bias ? bias + o : 0;
            float *to = target + (o - first) * shape->target_plane;
            if (width == 3) {
                correlate_block(source, w, b, to, shape, group, tap_count, is_whole, 3, places,
                                stored);
            } else {
                correlate_block(source, w, b, to, shape, group, tap_count, is_whole, 2, places,
                                stored);
            }
        }
        position += width;
    }
}

CONVOY_INLINE void convoy_lanes_correlate_body(const float *source, const float *weights,
                                               const float *bias, float *target,
                                               const convoy_lane_shape *shape,
                                               const convoy_lane_group *group, ptrdiff_t first,
                                               ptrdiff_t count) {
    if (group->weights) {
        correlate_group(source, weights, bias, target, shape, group, first, count,
                        group->tap_count, 0);
    } else if (group->tap_count == 9) {
        correlate_group(source, weights, bias, target, shape, group, first, count, 9, 1);
    } else {
        correlate_group(source, weights, bias, target, shape, group, first, count,
                        group->tap_count, 1);
    }
}

// Computes up to eight output channels at some pairs of positions. With `is_adjacent` the two
// positions of each pair read neighbouring places.
CONVOY_INLINE void wide_correlate_block(const float *source, const float *weights,
                                        const float *bias, float *target,
                                        const convoy_lane_shape *shape,
                                        const convoy_lane_group *group, ptrdiff_t tap_count,
                                        int is_whole, int outputs, int pairs, int is_adjacent,
                                        const ptrdiff_t position[WIDE_POSITIONS],
                                        ptrdiff_t stored) {
    wide_lanes sum[2 * OUTPUTS][WIDE_POSITIONS / 2];
    const float *places[WIDE_POSITIONS];
    CONVOY_UNROLL
    for (int o = 0; o < outputs; o++) {
        CONVOY_UNROLL
        for (int p = 0; p < pairs; p++)
            sum[o][p] = (wide_lanes)(bias && o < stored ? bias[o] : 0.0f);
    }
    CONVOY_UNROLL
    for (int p = 0; p < 2 * pairs; p++) places[p] = source + group->sources[position[p]];
    const ptrdiff_t kernel = shape->kernel_size * OUTPUTS, block = shape->source_channels * kernel;
    const int32_t *taps = group->taps, *where = group->weights;
    for (ptrdiff_t c = 0; c < shape->source_channels; c++) {
        for (ptrdiff_t t = 0; t < tap_count; t++) {
            const float *w = weights + (is_whole ? t : where[t]) * OUTPUTS;
            const ptrdiff_t tap = taps[t];
            wide_lanes x[WIDE_POSITIONS / 2];
            CONVOY_UNROLL
            for (int p = 0; p < pairs; p++) {
                x[p] = is_adjacent ? *(const wide_lanes *)(places[2 * p] + tap)
                                   : convoy_join(*(const lanes *)(places[2 * p] + tap),
                                                 *(const lanes *)(places[2 * p + 1] + tap));
            }
            CONVOY_UNROLL
            for (int o = 0; o < outputs; o++) {
                const wide_lanes factor = (wide_lanes)(w[o / OUTPUTS * block + o % OUTPUTS]);
                CONVOY_UNROLL
                for (int p = 0; p < pairs; p++) sum[o][p] = convoy_fma(factor, x[p], sum[o][p]);
            }
        }
        weights += kernel;
        CONVOY_UNROLL
        for (int p = 0; p < 2 * pairs; p++) places[p] += shape->source_plane;
    }
    CONVOY_UNROLL
    for (int o = 0; o < outputs; o++) {
        if (o >= stored) break;
        CONVOY_UNROLL
        for (int p = 0; p < pairs; p++) {
            wide_lanes value = sum[o][p];
            if (shape->relu) value = value < 0 ? (wide_lanes)(0.0f) : value;
            float *plane = target + o * shape->target_plane;
            *(lanes *)(plane + group->targets[position[2 * p]]) = convoy_low(value);
            *(lanes *)(plane + group->targets[position[2 * p + 1]]) = convoy_high(value);
        }
    }
}

CONVOY_INLINE void wide_correlate_pairs(const float *source, const float *weights,
                                        const float *bias, float *target,
                                        const convoy_lane_shape *shape,
                                        const convoy_lane_group *group, ptrdiff_t tap_count,
                                        int is_whole, int pairs,
                                        const ptrdiff_t position[WIDE_POSITIONS],
                                        ptrdiff_t stored) {
    int is_adjacent = 1;
    for (int p = 0; p < pairs; p++) {
        const int32_t first = group->sources[position[2 * p]];
        is_adjacent &= group->sources[position[2 * p + 1]] == first + CONVOY_LANES;
    }
#define BLOCK(outputs, is_adjacent)                                                                \
    wide_correlate_block(source, weights, bias, target, shape, group, tap_count, is_whole,         \
                         outputs, pairs, is_adjacent, position, stored)
    if (stored > OUTPUTS) {
        if (is_adjacent) BLOCK(2 * OUTPUTS, 1);
        else BLOCK(2 * OUTPUTS, 0);
    } else {
        if (is_adjacent) BLOCK(OUTPUTS, 1);
        else BLOCK(OUTPUTS, 0);
    }
#undef BLOCK
}

// As correlate_group, with eight output channels at three pairs of positions. Where positions are
// left over, the last ones are computed twice.
CONVOY_INLINE void wide_correlate_group(const float *source, const float *weights,
                                        const float *bias, float *target,
                                        const convoy_lane_shape *shape,
                                        const convoy_lane_group *group, ptrdiff_t first,
                                        ptrdiff_t count, ptrdiff_t tap_count, int is_whole) {
    const ptrdiff_t block = shape->source_channels * shape->kernel_size * OUTPUTS;
    const ptrdiff_t last = group->position_count - 1;
    for (ptrdiff_t position = 0; position <= last; position += WIDE_POSITIONS) {
        const ptrdiff_t left = group->position_count - position;
        const int pairs = left >= WIDE_POSITIONS ? WIDE_POSITIONS / 2 : (int)(left + 1) / 2;
        ptrdiff_t places[WIDE_POSITIONS];
        for (int p = 0; p < WIDE_POSITIONS; p++)
            places[p] = position + p <= last ? position + p : last;
        if (left < WIDE_POSITIONS && left % 2 == 1 && last > 0) places[left - 1] = last - 1;
        if (left < WIDE_POSITIONS && left % 2 == 1) places[left] = last;
        for (ptrdiff_t o = first; o < first + count; o += 2 * OUTPUTS) {
            const ptrdiff_t stored = first + count - o;
            const float *w = weights + o / OUTPUTS * block, *b = bias ? bias + o : 0;
            float *to = target + (o - first) * shape->target_plane;
#define PAIRS(pairs)                                                                               \
    wide_correlate_pairs(source, w, b, to, shape, group, tap_count, is_whole, pairs, places, stored)
            switch (pairs) {
            case 3: PAIRS(3); break;
            case 2: PAIRS(2); break;
            default: PAIRS(1); break;
            }
#undef PAIRS
        }
    }
}

CONVOY_INLINE void convoy_lanes_correlate_wide_body(const float *source, const float *weights,
                                                    const float *bias, float *target,
                                                    const convoy_lane_shape *shape,
                                                    const convoy_lane_group *group,
                                                    ptrdiff_t first, ptrdiff_t count) {
    if (group->weights) {
        wide_correlate_group(source, weights, bias, target, shape, group, first, count,
                             group->tap_count, 0);
    } else if (group->tap_count == 9) {
        wide_correlate_group(source, weights, bias, target, shape, group, first, count, 9, 1);
    } else {
        wide_correlate_group(source, weights, bias, target, shape, group, first, count,
                             group->tap_count, 1);
    }
}

CONVOY_WIDE_FUNCTION(convoy_lanes_correlate,
                     (const float *source, const float *weights, const float *bias, float *target,
                      const convoy_lane_shape *shape, const convoy_lane_group *group,
                      ptrdiff_t first, ptrdiff_t count),
                     (source, weights, bias, target, shape, group, first, count))

void convoy_lanes_pack(const float *weights, ptrdiff_t outputs, ptrdiff_t channels,
                       ptrdiff_t kernel_size, float *packed) {
    const ptrdiff_t row = channels * kernel_size;
    for (ptrdiff_t o = 0; o < outputs; o += OUTPUTS) {
        const ptrdiff_t here = outputs - o < OUTPUTS ? outputs - o : OUTPUTS;
        if (here == OUTPUTS) {
            const float *w0 = weights + o * row, *w1 = w0 + row, *w2 = w1 + row, *w3 = w2 + row;
            for (ptrdiff_t t = 0; t < row; t++) {
                packed[t * OUTPUTS] = w0[t];
                packed[t * OUTPUTS + 1] = w1[t];
                packed[t * OUTPUTS + 2] = w2[t];
                packed[t * OUTPUTS + 3] = w3[t];
            }
        } else {
            for (ptrdiff_t t = 0; t < row; t++)
                for (ptrdiff_t j = 0; j < OUTPUTS; j++)
                    packed[t * OUTPUTS + j] = j < here ? weights[(o + j) * row + t] : 0;
        }
        packed += row * OUTPUTS;
    }
}

void convoy_lanes_pack_transposed(const float *weights, ptrdiff_t outputs, ptrdiff_t channels,
                                  ptrdiff_t kernel_size, float *packed) {
    for (ptrdiff_t c = 0; c < channels; c += OUTPUTS) {
        const ptrdiff_t here = channels - c < OUTPUTS ? channels - c : OUTPUTS;
        for (ptrdiff_t o = 0; o < outputs; o++) {
            const float *w = weights + (o * channels + c) * kernel_size;
            for (ptrdiff_t k = 0; k < kernel_size; k++) {
                for (ptrdiff_t j = 0; j < OUTPUTS; j++)
                    packed[k * OUTPUTS + j] = j < here ? w[j * kernel_size + k] : 0;
            }
            packed += kernel_size * OUTPUTS;
        }
    }
}

// Computes the sums of four output channels and three taps over all positions, in each lane. The
// caller then adds the lanes.
CONVOY_INLINE void gradient_block(const float *const source[POSITIONS],
                                  const float *const output_gradient[OUTPUTS],
                                  const convoy_lane_walk *walk, lanes sum[OUTPUTS][POSITIONS]) {
    lanes s[OUTPUTS][POSITIONS];
    CONVOY_UNROLL
    for (int o = 0; o < OUTPUTS; o++) {
        CONVOY_UNROLL
        for (int p = 0; p < POSITIONS; p++) s[o][p] = (lanes)(0.0f);
    }
    ptrdiff_t position = 0;
    for (ptrdiff_t y = 0; y < walk->output_height; y++) {
        ptrdiff_t place = y * walk->source_row;
        for (ptrdiff_t x = 0; x < walk->output_width; x++) {
            lanes in[POSITIONS];
            CONVOY_UNROLL
            for (int p = 0; p < POSITIONS; p++) in[p] = *(const lanes *)(source[p] + place);
            CONVOY_UNROLL
            for (int o = 0; o < OUTPUTS; o++) {
                lanes g = *(const lanes *)(output_gradient[o] + position);
                CONVOY_UNROLL
                for (int p = 0; p < POSITIONS; p++) s[o][p] = convoy_fma(g, in[p], s[o][p]);
            }
            place += walk->source_column;
            position += CONVOY_LANES;
        }
    }
    CONVOY_UNROLL
    for (int o = 0; o < OUTPUTS; o++) {
        CONVOY_UNROLL
        for (int p = 0; p < POSITIONS; p++) sum[o][p] = s[o][p];
    }
}

CONVOY_INLINE void convoy_lanes_weight_gradient_body(const float *source,
                                                     const float *output_gradient, ptrdiff_t count,
                                                     const int32_t *taps, ptrdiff_t tap_count,
                                                     const convoy_lane_walk *walk, float *gradient,
                                                     int adds) {
    const ptrdiff_t plane = walk->output_height * walk->output_width * CONVOY_LANES;
    for (ptrdiff_t o = 0; o < count; o += OUTPUTS) {
        const float *rows[OUTPUTS];
        for (int j = 0; j < OUTPUTS; j++)
            rows[j] = output_gradient + (o + j < count ? o + j : count - 1) * plane;
        for (ptrdiff_t t = 0; t < tap_count; t += POSITIONS) {
            const float *places[POSITIONS];
            for (int p = 0; p < POSITIONS; p++)
                places[p] = source + taps[t + p < tap_count ? t + p : tap_count - 1];
            lanes sum[OUTPUTS][POSITIONS];
            gradient_block(places, rows, walk, sum);
            for (int j = 0; j < OUTPUTS && o + j < count; j++) {
                float *row = gradient + (o + j) * tap_count + t;
                for (int p = 0; p < POSITIONS && t + p < tap_count; p++) {
                    float value = convoy_lane_sum(&sum[j][p]);
                    row[p] = adds ? row[p] + value : value;
                }
            }
        }
    }
}

// As gradient_block, for some output channels and some pairs of taps.
CONVOY_INLINE void wide_gradient_block(const float *const source[WIDE_POSITIONS],
                                       const float *const output_gradient[2 * OUTPUTS],
                                       const convoy_lane_walk *walk, int outputs, int pairs,
                                       wide_lanes sum[2 * OUTPUTS][WIDE_POSITIONS / 2]) {
    wide_lanes s[2 * OUTPUTS][WIDE_POSITIONS / 2];
    CONVOY_UNROLL
    for (int o = 0; o < outputs; o++) {
        CONVOY_UNROLL
        for (int p = 0; p < pairs; p++) s[o][p] = (wide_lanes)(0.0f);
    }
    ptrdiff_t position = 0;
    for (ptrdiff_t y = 0; y < walk->output_height; y++) {
        ptrdiff_t place = y * walk->source_row;
        for (ptrdiff_t x = 0; x < walk->output_width; x++) {
            wide_lanes in[WIDE_POSITIONS / 2];
            CONVOY_UNROLL
            for (int p = 0; p < pairs; p++)
                in[p] = convoy_join(*(const lanes *)(source[2 * p] + place),
                                    *(const lanes *)(source[2 * p + 1] + place));
            CONVOY_UNROLL
            for (int o = 0; o < outputs; o++) {
                const lanes half = *(const lanes *)(output_gradient[o] + position);
                const wide_lanes g = convoy_join(half, half);
                CONVOY_UNROLL
                for (int p = 0; p < pairs; p++) s[o][p] = convoy_fma(g, in[p], s[o][p]);
            }
            place += walk->source_column;
            position += CONVOY_LANES;
        }
    }
    CONVOY_UNROLL
    for (int o = 0; o < outputs; o++) {
        CONVOY_UNROLL
        for (int p = 0; p < pairs; p++) sum[o][p] = s[o][p];
    }
}

CONVOY_INLINE void convoy_lanes_weight_gradient_wide_body(
    const float *source, const float *output_gradient, ptrdiff_t count, const int32_t *taps,
    ptrdiff_t tap_count, const convoy_lane_walk *walk, float *gradient, int adds) {
    const ptrdiff_t plane = walk->output_height * walk->output_width * CONVOY_LANES;
    for (ptrdiff_t o = 0; o < count; o += 2 * OUTPUTS) {
        const float *rows[2 * OUTPUTS];
        for (int j = 0; j < 2 * OUTPUTS; j++)
            rows[j] = output_gradient + (o + j < count ? o + j : count - 1) * plane;
        for (ptrdiff_t t = 0; t < tap_count; t += WIDE_POSITIONS) {
            const float *places[WIDE_POSITIONS];
            for (int p = 0; p < WIDE_POSITIONS; p++)
                places[p] = source + taps[t + p < tap_count ? t + p : tap_count - 1];
            wide_lanes sum[2 * OUTPUTS][WIDE_POSITIONS / 2];
            const int is_low = count - o <= OUTPUTS;
            const ptrdiff_t left = tap_count - t;
            if (left > 4) {
                if (is_low) wide_gradient_block(places, rows, walk, OUTPUTS, 3, sum);
                else wide_gradient_block(places, rows, walk, 2 * OUTPUTS, 3, sum);
            } else if (left > 2) {
                if (is_low) wide_gradient_block(places, rows, walk, OUTPUTS, 2, sum);
                else wide_gradient_block(places, rows, walk, 2 * OUTPUTS, 2, sum);
            } else {
                if (is_low) wide_gradient_block(places, rows, walk, OUTPUTS, 1, sum);
                else wide_gradient_block(places, rows, walk, 2 * OUTPUTS, 1, sum);
            }
            for (int j = 0; j < 2 * OUTPUTS && o + j < count; j++) {
                float *row = gradient + (o + j) * tap_count + t;
                for (int p = 0; p < WIDE_POSITIONS && t + p < tap_count; p++) {
                    const lanes half =
                        p % 2 == 0 ? convoy_low(sum[j][p / 2]) : convoy_high(sum[j][p / 2]);
                    const float value = convoy_lane_sum(&half);
                    row[p] = adds ? row[p] + value : value;
                }
            }
        }
    }
}

CONVOY_WIDE_FUNCTION(convoy_lanes_weight_gradient,
                     (const float *source, const float *output_gradient, ptrdiff_t count,
                      const int32_t *taps, ptrdiff_t tap_count, const convoy_lane_walk *walk,
                      float *gradient, int adds),
                     (source, output_gradient, count, taps, tap_count, walk, gradient, adds))

CONVOY_INLINE void convoy_lanes_bias_gradient_body(const float *output_gradient, ptrdiff_t count,
                                                   ptrdiff_t position_count, float *gradient,
                                                   int adds) {
    for (ptrdiff_t o = 0; o < count; o++) {
        const lanes *g = (const lanes *)output_gradient + o * position_count;
        // With four chains an addition need not wait for the one before it.
        lanes sum[4] = {(lanes)(0.0f), (lanes)(0.0f), (lanes)(0.0f), (lanes)(0.0f)};
        ptrdiff_t p = 0;
        for (; p + 4 <= position_count; p += 4) {
            CONVOY_UNROLL
            for (int j = 0; j < 4; j++) sum[j] = sum[j] + g[p + j];
        }
        for (; p < position_count; p++) sum[0] = sum[0] + g[p];
        lanes all = (sum[0] + sum[1]) + (sum[2] + sum[3]);
        float value = convoy_lane_sum(&all);
        gradient[o] = adds ? gradient[o] + value : value;
    }
}

CONVOY_LANE_FUNCTION(convoy_lanes_bias_gradient,
                     (const float *output_gradient, ptrdiff_t count, ptrdiff_t position_count,
                      float *gradient, int adds),
                     (output_gradient, count, position_count, gradient, adds))
