#include "convoy_kernels.h"
#include "dispatch.h"

#pragma STDC FP_CONTRACT OFF

CONVOY_CLONES
void convoy_add(float *out, const float *a, const float *b, ptrdiff_t count) {
    CONVOY_ELEMENTWISE
    for (ptrdiff_t i = 0; i < count; i++) out[i] = a[i] + b[i];
}
