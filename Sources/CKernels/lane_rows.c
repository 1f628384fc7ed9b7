#include "lanes.h"

// Eight vectors of eight: rows become columns, in three rounds of shuffles.
CONVOY_INLINE void transpose(loose_lanes v[8]) {
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

CONVOY_INLINE void convoy_lanes_from_rows_body(const float *rows, ptrdiff_t count,
                                               ptrdiff_t elements, float *out) {
    ptrdiff_t e = 0;
    for (; e + CONVOY_LANES <= elements; e += CONVOY_LANES) {
        loose_lanes v[8];
        CONVOY_UNROLL
        for (int n = 0; n < CONVOY_LANES; n++)
            v[n] = n < count ? *(const loose_lanes *)(rows + n * elements + e)
                             : (loose_lanes)(0.0f);
        transpose(v);
        CONVOY_UNROLL
        for (int n = 0; n < CONVOY_LANES; n++)
            *(loose_lanes *)(out + (e + n) * CONVOY_LANES) = v[n];
    }
    for (; e < elements; e++)
        for (ptrdiff_t n = 0; n < CONVOY_LANES; n++)
            out[e * CONVOY_LANES + n] = n < count ? rows[n * elements + e] : 0;
}

CONVOY_LANE_FUNCTION(convoy_lanes_from_rows,
                     (const float *rows, ptrdiff_t count, ptrdiff_t elements, float *out),
                     (rows, count, elements, out))

CONVOY_INLINE void convoy_lanes_to_rows_body(const float *in, ptrdiff_t elements, float *rows) {
    ptrdiff_t e = 0;
    for (; e + CONVOY_LANES <= elements; e += CONVOY_LANES) {
        loose_lanes v[8];
        CONVOY_UNROLL
        for (int n = 0; n < CONVOY_LANES; n++)
            v[n] = *(const loose_lanes *)(in + (e + n) * CONVOY_LANES);
        transpose(v);
        CONVOY_UNROLL
        for (int n = 0; n < CONVOY_LANES; n++) *(loose_lanes *)(rows + n * elements + e) = v[n];
    }
    for (; e < elements; e++)
        for (ptrdiff_t n = 0; n < CONVOY_LANES; n++)
            rows[n * elements + e] = in[e * CONVOY_LANES + n];
}

CONVOY_LANE_FUNCTION(convoy_lanes_to_rows,
                     (const float *in, ptrdiff_t elements, float *rows), (in, elements, rows))
