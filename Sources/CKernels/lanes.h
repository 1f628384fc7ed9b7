#ifndef CONVOY_LANES_H
#define CONVOY_LANES_H

#include "dispatch.h"
#include "lane_kernels.h"

/// Eight numbers, one of each of eight images.
typedef float lanes __attribute__((ext_vector_type(8), aligned(32)));
typedef int32_t lane_ints __attribute__((ext_vector_type(8), aligned(32)));
/// Eight adjacent numbers of a row, at any address that is aligned for a float.
typedef float loose_lanes __attribute__((ext_vector_type(8), aligned(4)));
typedef float loose_wide __attribute__((ext_vector_type(16), aligned(4)));

#define CONVOY_UNROLL _Pragma("clang loop unroll(full)")

/// Sixteen numbers: those of eight images at two places.
typedef float wide_lanes __attribute__((ext_vector_type(16), aligned(32)));
typedef int32_t wide_ints __attribute__((ext_vector_type(16), aligned(32)));

/// Computes a * b + c, rounded once.
#define convoy_fma(a, b, c) __builtin_elementwise_fma(a, b, c)

/// Puts two vectors of eight side by side, and takes them apart.
#define convoy_join(a, b)                                                                          \
    __builtin_shufflevector(a, b, 0, 1, 2, 3, 4, 5, 6, 7, 8, 9, 10, 11, 12, 13, 14, 15)
#define convoy_low(v) __builtin_shufflevector(v, v, 0, 1, 2, 3, 4, 5, 6, 7)
#define convoy_high(v) __builtin_shufflevector(v, v, 8, 9, 10, 11, 12, 13, 14, 15)
/// The lower halves of two wide vectors side by side, and the upper ones.
#define convoy_lows(a, b)                                                                          \
    __builtin_shufflevector(a, b, 0, 1, 2, 3, 4, 5, 6, 7, 16, 17, 18, 19, 20, 21, 22, 23)
#define convoy_highs(a, b)                                                                         \
    __builtin_shufflevector(a, b, 8, 9, 10, 11, 12, 13, 14, 15, 24, 25, 26, 27, 28, 29, 30, 31)

/// Defines the function NAME from NAME_body for every processor and for those with AVX2 and FMA,
/// and from WIDE for those with AVX-512. All give the same bits.
#if defined(__x86_64__)
#define CONVOY_FAST_LANES __attribute__((target("avx2,fma")))
#define CONVOY_WIDE_LANES                                                                          \
    __attribute__((target("avx2,fma,avx512f,avx512vl,avx512bw,avx512dq"), min_vector_width(512)))
#define CONVOY_DEFINE_LANES(name, wide, parameters, arguments)                                     \
    static void name##_anywhere parameters { name##_body arguments; }                              \
    CONVOY_FAST_LANES static void name##_fast parameters { name##_body arguments; }                \
    CONVOY_WIDE_LANES static void name##_wide parameters { wide arguments; }                       \
    void name parameters {                                                                         \
        switch (convoy_lanes_level()) {                                                            \
        case CONVOY_LEVEL_AVX512: name##_wide arguments; break;                                    \
        case CONVOY_LEVEL_AVX2: name##_fast arguments; break;                                      \
        default: name##_anywhere arguments; break;                                                 \
        }                                                                                          \
    }
#else
#define CONVOY_DEFINE_LANES(name, wide, parameters, arguments)                                     \
    void name parameters { name##_body arguments; }
#endif

/// Defines a function whose code has vectors of eight numbers on every processor.
#define CONVOY_LANE_FUNCTION(name, parameters, arguments)                                          \
    CONVOY_DEFINE_LANES(name, name##_body, parameters, arguments)

/// Defines a function with code of its own, NAME_wide_body, for processors with AVX-512.
#define CONVOY_WIDE_FUNCTION(name, parameters, arguments)                                          \
    CONVOY_DEFINE_LANES(name, name##_wide_body, parameters, arguments)

/// Returns the sum of eight lanes. First the two halves are added, then the two quarters, then the
/// last two numbers.
CONVOY_INLINE float convoy_lane_sum(const lanes *v) {
    float h[4];
    CONVOY_UNROLL
    for (int i = 0; i < 4; i++) h[i] = (*v)[i] + (*v)[i + 4];
    return (h[0] + h[2]) + (h[1] + h[3]);
}

/// Transposes eight vectors of eight numbers in three rounds of shuffles.
CONVOY_INLINE void convoy_lane_transpose(loose_lanes v[8]) {
    loose_lanes t[8], u[8];
    CONVOY_UNROLL
    for (int i = 0; i < 8; i += 2) {
        t[i] = __builtin_shufflevector(v[i], v[i + 1], 0, 8, 1, 9, 4, 12, 5, 13);
        t[i + 1] = __builtin_shufflevector(v[i], v[i + 1], 2, 10, 3, 11, 6, 14, 7, 15);
    }
    CONVOY_UNROLL
    for (int i = 0; i < 8; i += 4) {
        CONVOY_UNROLL
        for (int j = 0; j < 2; j++) {
            u[i + 2 * j] =
                __builtin_shufflevector(t[i + j], t[i + j + 2], 0, 1, 8, 9, 4, 5, 12, 13);
            u[i + 2 * j + 1] =
                __builtin_shufflevector(t[i + j], t[i + j + 2], 2, 3, 10, 11, 6, 7, 14, 15);
        }
    }
    CONVOY_UNROLL
    for (int i = 0; i < 4; i++) {
        v[i] = __builtin_shufflevector(u[i], u[i + 4], 0, 1, 2, 3, 8, 9, 10, 11);
        v[i + 4] = __builtin_shufflevector(u[i], u[i + 4], 4, 5, 6, 7, 12, 13, 14, 15);
    }
}

/// Takes the next value of a window in each lane where it is larger or a NaN, and notes its place.
#define CONVOY_TAKE_MAXIMUM(best, where, value, place)                                             \
    do {                                                                                           \
        const __typeof__(where) wins = ((value) > (best)) | ((value) != (value));                  \
        (best) = wins ? (value) : (best);                                                          \
        (where) = wins ? (place) : (where);                                                        \
    } while (0)

#endif
