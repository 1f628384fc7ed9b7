#ifndef CONVOY_LANES_H
#define CONVOY_LANES_H

#include "lane_kernels.h"

/// One number of each of eight images.
typedef float lanes __attribute__((ext_vector_type(8), aligned(32)));
typedef int32_t lane_ints __attribute__((ext_vector_type(8), aligned(32)));
/// Eight neighbours of a row, wherever they lie.
typedef float loose_lanes __attribute__((ext_vector_type(8), aligned(4)));

#define CONVOY_INLINE static inline __attribute__((always_inline))
#define CONVOY_UNROLL _Pragma("clang loop unroll(full)")

/// a * b + c, rounded once.
#define convoy_fma(a, b, c) __builtin_elementwise_fma(a, b, c)

/// Defines NAME for every processor and once more for those with AVX2 and FMA, from NAME_body.
#if defined(__x86_64__)
#define CONVOY_FAST_LANES __attribute__((target("avx2,fma")))
#define CONVOY_LANE_FUNCTION(name, parameters, arguments)                                          \
    static void name##_anywhere parameters { name##_body arguments; }                              \
    CONVOY_FAST_LANES static void name##_fast parameters { name##_body arguments; }                \
    void name parameters {                                                                         \
        if (convoy_lanes_are_fast())                                                               \
            name##_fast arguments;                                                                 \
        else                                                                                       \
            name##_anywhere arguments;                                                             \
    }
#else
#define CONVOY_LANE_FUNCTION(name, parameters, arguments)                                          \
    void name parameters { name##_body arguments; }
#endif

/// The sum of eight lanes: halves, then quarters, then the last two.
CONVOY_INLINE float convoy_lane_sum(const lanes *v) {
    float h[4];
    CONVOY_UNROLL
    for (int i = 0; i < 4; i++) h[i] = (*v)[i] + (*v)[i + 4];
    return (h[0] + h[2]) + (h[1] + h[3]);
}

#endif
