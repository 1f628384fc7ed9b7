#include "convoy_kernels.h"
#include "dispatch.h"

#pragma STDC FP_CONTRACT OFF

CONVOY_CLONES
void convoy_add_squares(double sums[8], const float *values, ptrdiff_t count) {
    ptrdiff_t i = 0;
    double lanes[8];
    for (int lane = 0; lane < 8; lane++) lanes[lane] = sums[lane];
    for (; i + 8 <= count; i += 8)
        for (int lane = 0; lane < 8; lane++)
            lanes[lane] += (double)values[i + lane] * (double)values[i + lane];
    for (int lane = 0; i + lane < count; lane++)
        lanes[lane] += (double)values[i + lane] * (double)values[i + lane];
    for (int lane = 0; lane < 8; lane++) sums[lane] = lanes[lane];
}

CONVOY_CLONES
void convoy_scale_all(float *out, const float *in, float factor, ptrdiff_t count) {
    CONVOY_ELEMENTWISE
    for (ptrdiff_t i = 0; i < count; i++) out[i] = in[i] * factor;
}
