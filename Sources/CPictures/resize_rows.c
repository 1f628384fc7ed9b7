#include "resize_rows.h"

#include <string.h>

#define HALF (1u << (WEIGHT_BITS - 1))
/// Bytes of a row that are summed side by side.
#define CHUNK 64

static inline uint8_t clipped(uint32_t sum) {
    const int32_t level = (int32_t)sum >> WEIGHT_BITS;
    return level < 0 ? 0 : level > 255 ? 255 : (uint8_t)level;
}

void convoy_horizontal_grey(const uint8_t *const rows[ROW_GROUP], uint8_t *const out[ROW_GROUP],
                            const struct convoy_weights *weights, int32_t count) {
    for (int32_t x = 0; x < count; x++) {
        const struct convoy_taps taps = weights->taps[x];
        const int32_t *weight = weights->whole + (size_t)x * (size_t)weights->width;
        for (int r = 0; r < ROW_GROUP; r++) {
            const uint8_t *from = rows[r] + taps.first;
            uint32_t sum = HALF;
            for (int32_t t = 0; t < taps.count; t++) sum += from[t] * (uint32_t)weight[t];
            out[r][x] = clipped(sum);
        }
    }
}

void convoy_horizontal_rgb(const uint8_t *const rows[ROW_GROUP], uint8_t *const out[ROW_GROUP],
                           const struct convoy_weights *weights, int32_t count) {
    for (int32_t x = 0; x < count; x++) {
        const struct convoy_taps taps = weights->taps[x];
        const int32_t *weight = weights->whole + (size_t)x * (size_t)weights->width;
        for (int r = 0; r < ROW_GROUP; r++) {
            const uint8_t *from = rows[r] + 3 * (size_t)taps.first;
            uint32_t red = HALF, green = HALF, blue = HALF;
            for (int32_t t = 0; t < taps.count; t++, from += 3) {
                red += from[0] * (uint32_t)weight[t];
                green += from[1] * (uint32_t)weight[t];
                blue += from[2] * (uint32_t)weight[t];
            }
            out[r][3 * x] = clipped(red);
            out[r][3 * x + 1] = clipped(green);
            out[r][3 * x + 2] = clipped(blue);
        }
    }
}

void convoy_vertical_row(const uint8_t *from, size_t stride, uint8_t *out, size_t byte_count,
                         const struct convoy_weights *weights, int32_t place) {
    const struct convoy_taps taps = weights->taps[place];
    const int32_t *weight = weights->whole + (size_t)place * (size_t)weights->width;
    for (size_t x = 0; x < byte_count; x += CHUNK) {
        const size_t rest = byte_count - x, size = rest < CHUNK ? rest : CHUNK;
        uint32_t sums[CHUNK];
        for (size_t i = 0; i < CHUNK; i++) sums[i] = HALF;
        for (int32_t t = 0; t < taps.count; t++) {
            const uint8_t *row = from + (size_t)t * stride + x;
            const uint32_t w = (uint32_t)weight[t];
            if (size == CHUNK) {
                for (size_t i = 0; i < CHUNK; i++) sums[i] += row[i] * w;
            } else {
                for (size_t i = 0; i < size; i++) sums[i] += row[i] * w;
            }
        }
        for (size_t i = 0; i < size; i++) out[x + i] = clipped(sums[i]);
    }
}
