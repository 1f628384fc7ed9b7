/// Loops over the bytes of images, as the transformations of training images use them.
///
/// Determinism: integer arithmetic, and single IEEE operations in an order that the source fixes.
/// So wider vectors change only the speed. Threading: every function is a pure function of its
/// arguments. Overlap: `out` may be an input; partial overlap is not allowed.
#ifndef CONVOY_PIXEL_KERNELS_H
#define CONVOY_PIXEL_KERNELS_H

#include <stddef.h>
#include <stdint.h>

#ifdef __cplusplus
extern "C" {
#endif

/// Computes out[i] = table[in[i]] for a table of 256 numbers.
void convoy_bytes_to_floats(float *out, const uint8_t *in, ptrdiff_t count, const float *table);

/// Moves bytes away from one level, or towards it: out[i] = centre + factor · (in[i] - centre), cut
/// to 0..255 and rounded towards 0.
void convoy_bytes_stretch(uint8_t *out, const uint8_t *in, ptrdiff_t count, int centre,
                          float factor);

/// Does the same with a level for each byte, `centres`.
void convoy_bytes_stretch_each(uint8_t *out, const uint8_t *in, const uint8_t *centres,
                               ptrdiff_t count, float factor);

/// Computes the grey level of colours: (19595 R + 38470 G + 7471 B + 32768) >> 16.
void convoy_bytes_grey(uint8_t *out, const uint8_t *red, const uint8_t *green, const uint8_t *blue,
                       ptrdiff_t count);

/// Returns the sum of bytes. `count` is below 2^40.
uint64_t convoy_bytes_sum(const uint8_t *in, ptrdiff_t count);

/// Computes out[i] = (weight · a[i] + (65536 - weight) · b[i] + 32768) >> 16 for a weight of 0 to
/// 65536.
void convoy_bytes_mix(uint8_t *out, const uint8_t *a, const uint8_t *b, ptrdiff_t count,
                      uint32_t weight);

/// Turns each row of `width` bytes round. `out` must not overlap `in`.
void convoy_bytes_mirror(uint8_t *out, const uint8_t *in, ptrdiff_t row_count, ptrdiff_t width);

#ifdef __cplusplus
}
#endif
#endif
