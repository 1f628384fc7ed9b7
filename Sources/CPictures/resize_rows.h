#ifndef CONVOY_RESIZE_ROWS_H
#define CONVOY_RESIZE_ROWS_H

#include <stddef.h>
#include <stdint.h>

// A resized byte is the sum of some bytes times weights of WEIGHT_BITS fractional bits, rounded and
// clipped. All sums are of 32-bit integers that wrap around, so their order changes nothing, and
// neither does the width of vectors.

#define WEIGHT_BITS 22
/// Instructions of x86-64 multiply pairs of 16-bit numbers. A weight w is 2^LOW_BITS * high + low
/// for them, with low from 0 to 2^LOW_BITS - 1.
#define LOW_BITS 15
/// The taps of each place of the result are filled up to a multiple of this number with weights 0.
#define TAP_GROUP 8
/// Bytes behind a row that may be read, whatever they are.
#define ROW_SLACK 16
/// Rows that are resized horizontally at once.
#define ROW_GROUP 4

/// The bytes that one place of the result is made of: `count` ones from `first` on.
struct convoy_taps {
    int32_t first, count;
};

/// Weights of one direction.
struct convoy_weights {
    const struct convoy_taps *taps;
    /// [place][tap] in whole numbers.
    const int32_t *whole;
    /// [place][low, high][pair of taps], as pairs of 16-bit numbers.
    const int32_t *pairs;
    /// Taps a place, with those that fill up.
    int32_t width;
};

/// Resizes ROW_GROUP rows of pixels horizontally. Rows may be equal, and then the outputs are too.
typedef void convoy_horizontal(const uint8_t *const rows[ROW_GROUP], uint8_t *const out[ROW_GROUP],
                               const struct convoy_weights *weights, int32_t count);
/// Computes one row of `byte_count` bytes from rows at distances of `stride`, of which `from` is
/// the first one that place `place` of the weights needs.
typedef void convoy_vertical(const uint8_t *from, size_t stride, uint8_t *out, size_t byte_count,
                             const struct convoy_weights *weights, int32_t place);

convoy_horizontal convoy_horizontal_grey, convoy_horizontal_rgb;
convoy_vertical convoy_vertical_row;

#if defined(__x86_64__) && !defined(CONVOY_PICTURES_PORTABLE)
#define CONVOY_PICTURES_AVX2
convoy_horizontal convoy_horizontal_grey_avx2, convoy_horizontal_rgb_avx2;
convoy_vertical convoy_vertical_row_avx2;
#endif

#endif
