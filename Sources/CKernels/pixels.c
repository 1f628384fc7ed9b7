#include "pixel_kernels.h"

#include <string.h>

#include "dispatch.h"

#pragma STDC FP_CONTRACT OFF

void convoy_bytes_to_floats(float *out, const uint8_t *in, ptrdiff_t count, const float *table) {
    for (ptrdiff_t i = 0; i < count; i++) out[i] = table[in[i]];
}

CONVOY_INLINE uint8_t stretched(uint8_t value, int centre, float factor) {
    float moved = (float)centre + factor * (float)((int)value - centre);
    moved = moved < 0 ? 0 : moved;
    moved = moved > 255 ? 255 : moved;
    return (uint8_t)(int)moved;
}

CONVOY_CLONES
void convoy_bytes_stretch(uint8_t *out, const uint8_t *in, ptrdiff_t count, int centre,
                          float factor) {
    CONVOY_ELEMENTWISE
    for (ptrdiff_t i = 0; i < count; i++) out[i] = stretched(in[i], centre, factor);
}

CONVOY_CLONES
void convoy_bytes_stretch_each(uint8_t *out, const uint8_t *in, const uint8_t *centres,
                               ptrdiff_t count, float factor) {
    CONVOY_ELEMENTWISE
    for (ptrdiff_t i = 0; i < count; i++) out[i] = stretched(in[i], centres[i], factor);
}

CONVOY_CLONES
void convoy_bytes_grey(uint8_t *out, const uint8_t *red, const uint8_t *green, const uint8_t *blue,
                       ptrdiff_t count) {
    CONVOY_ELEMENTWISE
    for (ptrdiff_t i = 0; i < count; i++) {
        uint32_t level = 19595u * red[i] + 38470u * green[i] + 7471u * blue[i] + 32768u;
        out[i] = (uint8_t)(level >> 16);
    }
}

CONVOY_CLONES
uint64_t convoy_bytes_sum(const uint8_t *in, ptrdiff_t count) {
    uint64_t sum = 0;
    for (ptrdiff_t start = 0; start < count; start += 65536) {
        ptrdiff_t end = count - start < 65536 ? count : start + 65536;
        uint32_t part = 0;
        for (ptrdiff_t i = start; i < end; i++) part += in[i];
        sum += part;
    }
    return sum;
}

CONVOY_CLONES
void convoy_bytes_mix(uint8_t *out, const uint8_t *a, const uint8_t *b, ptrdiff_t count,
                      uint32_t weight) {
    CONVOY_ELEMENTWISE
    for (ptrdiff_t i = 0; i < count; i++) {
        out[i] = (uint8_t)((weight * a[i] + (65536u - weight) * b[i] + 32768u) >> 16);
    }
}

CONVOY_CLONES
void convoy_bytes_mirror(uint8_t *out, const uint8_t *in, ptrdiff_t row_count, ptrdiff_t width) {
    for (ptrdiff_t row = 0; row < row_count; row++) {
        const uint8_t *source = in + row * width;
        uint8_t *target = out + row * width;
        ptrdiff_t x = 0;
        for (; x + 8 <= width; x += 8) {
            uint64_t word;
            memcpy(&word, source + width - 8 - x, 8);
            word = __builtin_bswap64(word);
            memcpy(target + x, &word, 8);
        }
        for (; x < width; x++) target[x] = source[width - 1 - x];
    }
}
