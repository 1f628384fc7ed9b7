#include "convoy_kernels.h"

#include <string.h>

#include "bfloat16.h"
#include "dispatch.h"

#pragma STDC FP_CONTRACT OFF

// The number of elements in a block. All elements of a block are read before the first of them is
// written, so packing may be in place. Copies of a fixed size become vector registers, and
// addresses need no alignment.
#define BLOCK 32

// Rounds to bfloat16. Every NaN becomes the same NaN, because IEEE 754 does not say which of two
// NaNs a sum keeps.
CONVOY_INLINE uint16_t packed(uint32_t bits) {
    uint32_t rounded = convoy_nearest_upper_half(bits);
    return (uint16_t)((bits & 0x7FFFFFFF) > 0x7F800000 ? 0x7FC0 : rounded);
}

CONVOY_INLINE void pack_some(char *out, const char *in, int count) {
    uint32_t bits[BLOCK];
    uint16_t halves[BLOCK];
    memcpy(bits, in, sizeof *bits * (size_t)count);
    for (int i = 0; i < count; i++) halves[i] = packed(bits[i]);
    memcpy(out, halves, sizeof *halves * (size_t)count);
}

CONVOY_INLINE void unpack_some(char *out, const char *in, int count) {
    uint16_t halves[BLOCK];
    uint32_t bits[BLOCK];
    memcpy(halves, in, sizeof *halves * (size_t)count);
    for (int i = 0; i < count; i++) bits[i] = (uint32_t)halves[i] << 16;
    memcpy(out, bits, sizeof *bits * (size_t)count);
}

CONVOY_INLINE void round_some(char *out, const char *in, int count) {
    uint32_t bits[BLOCK];
    memcpy(bits, in, sizeof *bits * (size_t)count);
    for (int i = 0; i < count; i++) bits[i] = (uint32_t)packed(bits[i]) << 16;
    memcpy(out, bits, sizeof *bits * (size_t)count);
}

CONVOY_INLINE void add_some(char *out, const char *a, const char *b, int count) {
    uint16_t left[BLOCK], right[BLOCK];
    uint32_t left_bits[BLOCK], right_bits[BLOCK], bits[BLOCK];
    float left_values[BLOCK], right_values[BLOCK], sums[BLOCK];
    memcpy(left, a, sizeof *left * (size_t)count);
    memcpy(right, b, sizeof *right * (size_t)count);
    for (int i = 0; i < count; i++) {
        left_bits[i] = (uint32_t)left[i] << 16;
        right_bits[i] = (uint32_t)right[i] << 16;
    }
    memcpy(left_values, left_bits, sizeof *bits * (size_t)count);
    memcpy(right_values, right_bits, sizeof *bits * (size_t)count);
    for (int i = 0; i < count; i++) sums[i] = left_values[i] + right_values[i];
    memcpy(bits, sums, sizeof *bits * (size_t)count);
    for (int i = 0; i < count; i++) left[i] = packed(bits[i]);
    memcpy(out, left, sizeof *left * (size_t)count);
}

CONVOY_CLONES
void convoy_bf16_pack(void *out, const void *in, ptrdiff_t count) {
    ptrdiff_t i = 0;
    for (; i + BLOCK <= count; i += BLOCK) {
        pack_some((char *)out + 2 * i, (const char *)in + 4 * i, BLOCK);
    }
    for (; i < count; i++) pack_some((char *)out + 2 * i, (const char *)in + 4 * i, 1);
}

CONVOY_CLONES
void convoy_bf16_unpack(float *out, const void *in, ptrdiff_t count) {
    ptrdiff_t i = 0;
    for (; i + BLOCK <= count; i += BLOCK) {
        unpack_some((char *)(out + i), (const char *)in + 2 * i, BLOCK);
    }
    for (; i < count; i++) unpack_some((char *)(out + i), (const char *)in + 2 * i, 1);
}

CONVOY_CLONES
void convoy_bf16_round(float *out, const float *in, ptrdiff_t count) {
    ptrdiff_t i = 0;
    for (; i + BLOCK <= count; i += BLOCK) {
        round_some((char *)(out + i), (const char *)(in + i), BLOCK);
    }
    for (; i < count; i++) round_some((char *)(out + i), (const char *)(in + i), 1);
}

CONVOY_CLONES
void convoy_bf16_add(void *out, const void *a, const void *b, ptrdiff_t count) {
    ptrdiff_t i = 0;
    for (; i + BLOCK <= count; i += BLOCK) {
        add_some((char *)out + 2 * i, (const char *)a + 2 * i, (const char *)b + 2 * i, BLOCK);
    }
    for (; i < count; i++) {
        add_some((char *)out + 2 * i, (const char *)a + 2 * i, (const char *)b + 2 * i, 1);
    }
}
