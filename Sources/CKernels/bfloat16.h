#ifndef CONVOY_BFLOAT16_H
#define CONVOY_BFLOAT16_H

#include <stdint.h>

#include "dispatch.h"

// Returns the upper half of a float's bits, rounded to nearest, ties to even. A NaN must not be
// passed, because the result may be an infinity.
CONVOY_INLINE uint32_t convoy_nearest_upper_half(uint32_t bits) {
    return (bits + 0x7FFF + ((bits >> 16) & 1)) >> 16;
}

#endif
