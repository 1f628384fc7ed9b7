#include "resize_rows.h"

#ifdef CONVOY_PICTURES_AVX2

#include <immintrin.h>
#include <string.h>

#define AVX2 __attribute__((target("avx2")))
#define INLINE AVX2 static inline __attribute__((always_inline))

/// A sum of products, in two parts that are joined at the end.
struct sum {
    __m256i low, high;
};

INLINE void add(struct sum *sum, __m256i pairs, __m256i low, __m256i high) {
    sum->low = _mm256_add_epi32(sum->low, _mm256_madd_epi16(pairs, low));
    sum->high = _mm256_add_epi32(sum->high, _mm256_madd_epi16(pairs, high));
}

INLINE __m256i joined(struct sum sum) {
    return _mm256_add_epi32(sum.low, _mm256_slli_epi32(sum.high, LOW_BITS));
}

INLINE __m256i rounded(__m256i sum) {
    const __m256i half = _mm256_set1_epi32(1 << (WEIGHT_BITS - 1));
    return _mm256_srai_epi32(_mm256_add_epi32(sum, half), WEIGHT_BITS);
}

INLINE __m256i two_rows(const uint8_t *first, const uint8_t *second) {
    const __m128i low = _mm_loadu_si128((const __m128i *)first);
    const __m128i high = _mm_loadu_si128((const __m128i *)second);
    return _mm256_inserti128_si256(_mm256_castsi128_si256(low), high, 1);
}

AVX2 void convoy_horizontal_rgb_avx2(const uint8_t *const rows[ROW_GROUP],
                                     uint8_t *const out[ROW_GROUP],
                                     const struct convoy_weights *weights, int32_t count) {
    // Four pixels of each of two rows become pairs of reds, greens and blues.
    const __m256i first_pair = _mm256_broadcastsi128_si256(
        _mm_setr_epi8(0, -1, 3, -1, 1, -1, 4, -1, 2, -1, 5, -1, -1, -1, -1, -1));
    const __m256i second_pair = _mm256_broadcastsi128_si256(
        _mm_setr_epi8(6, -1, 9, -1, 7, -1, 10, -1, 8, -1, 11, -1, -1, -1, -1, -1));
    const size_t pair_count = (size_t)weights->width / 2;
    for (int32_t x = 0; x < count; x++) {
        const struct convoy_taps taps = weights->taps[x];
        const int32_t *low = weights->pairs + (size_t)x * 2 * pair_count;
        const int32_t *high = low + pair_count;
        struct sum sums[2] = {{_mm256_setzero_si256(), _mm256_setzero_si256()},
                              {_mm256_setzero_si256(), _mm256_setzero_si256()}};
        const size_t first = 3 * (size_t)taps.first;
        for (size_t t = 0; t < (size_t)taps.count; t += 4) {
            const __m256i top = two_rows(rows[0] + first + 3 * t, rows[1] + first + 3 * t);
            const __m256i bottom = two_rows(rows[2] + first + 3 * t, rows[3] + first + 3 * t);
            const size_t pair = t / 2;
            __m256i lows = _mm256_set1_epi32(low[pair]), highs = _mm256_set1_epi32(high[pair]);
            add(&sums[0], _mm256_shuffle_epi8(top, first_pair), lows, highs);
            add(&sums[1], _mm256_shuffle_epi8(bottom, first_pair), lows, highs);
            lows = _mm256_set1_epi32(low[pair + 1]);
            highs = _mm256_set1_epi32(high[pair + 1]);
            add(&sums[0], _mm256_shuffle_epi8(top, second_pair), lows, highs);
            add(&sums[1], _mm256_shuffle_epi8(bottom, second_pair), lows, highs);
        }
        // Rows 0 and 2 are in the lower half, rows 1 and 3 in the upper one.
        __m256i levels = _mm256_packs_epi32(rounded(joined(sums[0])), rounded(joined(sums[1])));
        levels = _mm256_packus_epi16(levels, levels);
        const uint64_t even = (uint64_t)_mm256_extract_epi64(levels, 0);
        const uint64_t odd = (uint64_t)_mm256_extract_epi64(levels, 2);
        const uint32_t pixels[ROW_GROUP] = {(uint32_t)even, (uint32_t)odd, (uint32_t)(even >> 32),
                                            (uint32_t)(odd >> 32)};
        // The fourth byte is overwritten by the next pixel; the last pixel has none.
        if (x + 1 < count) {
            for (int r = 0; r < ROW_GROUP; r++) memcpy(out[r] + 3 * (size_t)x, &pixels[r], 4);
        } else {
            for (int r = 0; r < ROW_GROUP; r++) memcpy(out[r] + 3 * (size_t)x, &pixels[r], 3);
        }
    }
}

INLINE __m256i eight_taps(const uint8_t *first, const uint8_t *second) {
    const __m128i low = _mm_loadl_epi64((const __m128i *)first);
    const __m128i high = _mm_loadl_epi64((const __m128i *)second);
    return _mm256_cvtepu8_epi16(_mm_unpacklo_epi64(low, high));
}

AVX2 void convoy_horizontal_grey_avx2(const uint8_t *const rows[ROW_GROUP],
                                      uint8_t *const out[ROW_GROUP],
                                      const struct convoy_weights *weights, int32_t count) {
    const size_t pair_count = (size_t)weights->width / 2;
    for (int32_t x = 0; x < count; x++) {
        const struct convoy_taps taps = weights->taps[x];
        const int32_t *low = weights->pairs + (size_t)x * 2 * pair_count;
        const int32_t *high = low + pair_count;
        struct sum sums[2] = {{_mm256_setzero_si256(), _mm256_setzero_si256()},
                              {_mm256_setzero_si256(), _mm256_setzero_si256()}};
        for (size_t t = 0; t < (size_t)taps.count; t += 8) {
            const size_t place = (size_t)taps.first + t;
            const __m256i lows = _mm256_broadcastsi128_si256(
                _mm_loadu_si128((const __m128i *)(low + t / 2)));
            const __m256i highs = _mm256_broadcastsi128_si256(
                _mm_loadu_si128((const __m128i *)(high + t / 2)));
            add(&sums[0], eight_taps(rows[0] + place, rows[1] + place), lows, highs);
            add(&sums[1], eight_taps(rows[2] + place, rows[3] + place), lows, highs);
        }
        // The four parts of each row's sum are added.
        __m256i sum = _mm256_hadd_epi32(joined(sums[0]), joined(sums[1]));
        sum = rounded(_mm256_hadd_epi32(sum, sum));
        const __m256i words = _mm256_packs_epi32(sum, sum);
        const __m256i levels = _mm256_packus_epi16(words, words);
        const int32_t even = _mm256_extract_epi32(levels, 0);
        const int32_t odd = _mm256_extract_epi32(levels, 4);
        out[0][x] = (uint8_t)even;
        out[2][x] = (uint8_t)(even >> 8);
        out[1][x] = (uint8_t)odd;
        out[3][x] = (uint8_t)(odd >> 8);
    }
}

AVX2 void convoy_vertical_row_avx2(const uint8_t *from, size_t stride, uint8_t *out,
                                   size_t byte_count, const struct convoy_weights *weights,
                                   int32_t place) {
    const struct convoy_taps taps = weights->taps[place];
    const size_t pair_count = (size_t)weights->width / 2;
    const int32_t *low = weights->pairs + (size_t)place * 2 * pair_count;
    const int32_t *high = low + pair_count;
    const __m256i zero = _mm256_setzero_si256();
    size_t x = 0;
    for (; x + 32 <= byte_count; x += 32) {
        struct sum sums[4] = {{zero, zero}, {zero, zero}, {zero, zero}, {zero, zero}};
        for (size_t t = 0; t < (size_t)taps.count; t += 2) {
            const uint8_t *row = from + t * stride + x;
            // A last row without a partner is its own; the partner's weight is 0.
            const uint8_t *next = t + 1 < (size_t)taps.count ? row + stride : row;
            const __m256i a = _mm256_loadu_si256((const __m256i *)row);
            const __m256i b = _mm256_loadu_si256((const __m256i *)next);
            const __m256i lows = _mm256_set1_epi32(low[t / 2]);
            const __m256i highs = _mm256_set1_epi32(high[t / 2]);
            const __m256i left = _mm256_unpacklo_epi8(a, b), right = _mm256_unpackhi_epi8(a, b);
            add(&sums[0], _mm256_unpacklo_epi8(left, zero), lows, highs);
            add(&sums[1], _mm256_unpackhi_epi8(left, zero), lows, highs);
            add(&sums[2], _mm256_unpacklo_epi8(right, zero), lows, highs);
            add(&sums[3], _mm256_unpackhi_epi8(right, zero), lows, highs);
        }
        // Packing undoes the order of unpacking, within each half.
        const __m256i left =
            _mm256_packs_epi32(rounded(joined(sums[0])), rounded(joined(sums[1])));
        const __m256i right =
            _mm256_packs_epi32(rounded(joined(sums[2])), rounded(joined(sums[3])));
        _mm256_storeu_si256((__m256i *)(out + x), _mm256_packus_epi16(left, right));
    }
    if (x < byte_count) {
        convoy_vertical_row(from + x, stride, out + x, byte_count - x, weights, place);
    }
}

#endif
