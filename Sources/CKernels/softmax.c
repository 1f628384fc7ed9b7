#include "convoy_kernels.h"

#include <string.h>

#pragma STDC FP_CONTRACT OFF

static double from_bits(uint64_t bits) {
    double value;
    memcpy(&value, &bits, sizeof value);
    return value;
}

static uint64_t to_bits(double value) {
    uint64_t bits;
    memcpy(&bits, &value, sizeof bits);
    return bits;
}

// The argument is x = k ln 2 + r with |r| <= ln(2) / 2, so that e^x = 2^k e^r. e^r is computed by
// its Taylor series up to r^13; the first term left out is below 5e-18. ln 2 is split into two
// parts. The first one has 32 bits, so that its product with k is exact.
double convoy_exp(double x) {
    if (x != x) return x;
    if (x < -708) return 0;
    if (x > 709) return (double)__builtin_inff();
    double scaled = x * 0x1.71547652b82fep+0;
    int64_t k = (int64_t)(scaled < 0 ? scaled - 0.5 : scaled + 0.5);
    double r = x - (double)k * 0x1.62e42feep-1;
    r = r - (double)k * 0x1.a39ef35793c76p-33;
    static const double factorials[] = {
        6227020800, 479001600, 39916800, 3628800, 362880, 40320, 5040, 720, 120, 24, 6, 2,
    };
    double sum = 0;
    for (int i = 0; i < 12; i++) sum = sum * r + 1 / factorials[i];
    sum = 1 + (r + r * r * sum);
    return sum * from_bits((uint64_t)(k + 1023) << 52);
}

// The argument is x = 2^k m with m in [sqrt(1/2), sqrt(2)), and log m = 2 atanh(s) with
// s = (m - 1) / (m + 1). atanh is computed by its series up to s^23; since |s| < 0.172, the first
// term left out is below 1e-19.
double convoy_log(double x) {
    if (!(x >= 0x1p-1022 && x <= 0x1.fffffffffffffp1023)) return (double)__builtin_nanf("");
    uint64_t bits = to_bits(x);
    int64_t k = (int64_t)(bits >> 52) - 1023;
    double m = from_bits((bits & 0xFFFFFFFFFFFFFull) | 0x3FF0000000000000ull);
    if (m > 0x1.6a09e667f3bcdp+0) {
        m = m * 0.5;
        k = k + 1;
    }
    double s = (m - 1) / (m + 1);
    double square = s * s;
    double sum = 0;
    for (int n = 23; n >= 3; n -= 2) sum = sum * square + 1.0 / n;
    sum = 2 * (s + s * square * sum);
    return (double)k * 0x1.62e42feep-1 + (sum + (double)k * 0x1.a39ef35793c76p-33);
}

void convoy_softmax_cross_entropy(const float *logits, const int32_t *labels, ptrdiff_t count,
                                  ptrdiff_t class_count, float *gradient, double *loss_sum,
                                  int64_t *correct_count) {
    for (ptrdiff_t sample = 0; sample < count; sample++) {
        const float *z = logits + sample * class_count;
        ptrdiff_t label = labels[sample];
        ptrdiff_t best = 0;
        for (ptrdiff_t c = 1; c < class_count; c++) {
            if (z[c] > z[best]) best = c;
        }
        double largest = z[best];
        double sum = 0;
        for (ptrdiff_t c = 0; c < class_count; c++) sum += convoy_exp((double)z[c] - largest);
        *loss_sum += convoy_log(sum) - ((double)z[label] - largest);
        *correct_count += best == label;
        if (!gradient) continue;
        float *g = gradient + sample * class_count;
        for (ptrdiff_t c = 0; c < class_count; c++) {
            double probability = convoy_exp((double)z[c] - largest) / sum;
            g[c] = (float)(probability - (c == label ? 1.0 : 0.0));
        }
    }
}
