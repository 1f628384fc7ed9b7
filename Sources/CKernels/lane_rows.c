#include "lanes.h"

CONVOY_INLINE void convoy_lanes_from_rows_body(const float *rows, ptrdiff_t count,
                                               ptrdiff_t elements, float *out) {
    ptrdiff_t e = 0;
    for (; e + CONVOY_LANES <= elements; e += CONVOY_LANES) {
        loose_lanes v[8];
        CONVOY_UNROLL
        for (int n = 0; n < CONVOY_LANES; n++)
            v[n] = n < count ? *(const loose_lanes *)(rows + n * elements + e)
                             : (loose_lanes)(0.0f);
        convoy_lane_transpose(v);
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
        convoy_lane_transpose(v);
        CONVOY_UNROLL
        for (int n = 0; n < CONVOY_LANES; n++) *(loose_lanes *)(rows + n * elements + e) = v[n];
    }
    for (; e < elements; e++)
        for (ptrdiff_t n = 0; n < CONVOY_LANES; n++)
            rows[n * elements + e] = in[e * CONVOY_LANES + n];
}

CONVOY_LANE_FUNCTION(convoy_lanes_to_rows,
                     (const float *in, ptrdiff_t elements, float *rows), (in, elements, rows))
