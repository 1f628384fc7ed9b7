#include "activation_kernels.h"
#include "dispatch.h"

#define LANES 16

// Computes ten rounds of Philox4x32 for 16 counter blocks at a time. Word w of lane l is element
// 4 l + w.
CONVOY_CLONES
void convoy_dropout_mask(float *mask, ptrdiff_t count, uint64_t key, uint64_t name, uint32_t least,
                         float kept) {
    for (ptrdiff_t base = 0; base < count; base += 4 * LANES) {
        uint32_t x0[LANES], x1[LANES], x2[LANES], x3[LANES];
        for (int l = 0; l < LANES; l++) {
            uint64_t counter = (uint64_t)(base / 4 + l);
            x0[l] = (uint32_t)counter;
            x1[l] = (uint32_t)(counter >> 32);
            x2[l] = (uint32_t)name;
            x3[l] = (uint32_t)(name >> 32);
        }
        uint32_t k0 = (uint32_t)key, k1 = (uint32_t)(key >> 32);
        for (int round = 0; round < 10; round++) {
            for (int l = 0; l < LANES; l++) {
                uint64_t p0 = (uint64_t)x0[l] * 0xD2511F53u;
                uint64_t p1 = (uint64_t)x2[l] * 0xCD9E8D57u;
                x0[l] = (uint32_t)(p1 >> 32) ^ x1[l] ^ k0;
                x1[l] = (uint32_t)p1;
                x2[l] = (uint32_t)(p0 >> 32) ^ x3[l] ^ k1;
                x3[l] = (uint32_t)p0;
            }
            k0 += 0x9E3779B9u;
            k1 += 0xBB67AE85u;
        }
        float values[4 * LANES];
        for (int l = 0; l < LANES; l++) {
            values[4 * l] = x0[l] >> 8 >= least ? kept : 0;
            values[4 * l + 1] = x1[l] >> 8 >= least ? kept : 0;
            values[4 * l + 2] = x2[l] >> 8 >= least ? kept : 0;
            values[4 * l + 3] = x3[l] >> 8 >= least ? kept : 0;
        }
        ptrdiff_t here = count - base < 4 * LANES ? count - base : 4 * LANES;
        for (ptrdiff_t i = 0; i < here; i++) mask[base + i] = values[i];
    }
}
