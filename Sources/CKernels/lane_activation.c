#include "lane_elementwise_kernels.h"
#include "lanes.h"

#pragma STDC FP_CONTRACT OFF

typedef uint32_t lane_bits __attribute__((ext_vector_type(8), aligned(32)));

// Below this number, the logarithm of 2^-126, a power of e counts as 0.
#define LEAST_EXPONENT -0x1.5d58ap+6f

// Splits x = k ln 2 + r with |r| <= ln(2) / 2, for LEAST_EXPONENT <= x <= 0, and returns 2^k and
// e^r - 1.
//
// Adding 1.5 * 2^23 rounds a number to an integer, whose bits are then the last ones of the sum.
// ln 2 is split into two parts. The first one has 15 bits, so that its product with k is exact.
// e^r - 1 = r + r^2 q(r), where q is the polynomial of degree 4 with the least largest error: 3e-9.
// `rest` is a small number that is added to x; it may be NULL.
CONVOY_INLINE void exponential_parts(const lanes *x, const lanes *rest, lanes *power,
                                     lanes *above_one) {
    const lanes shifter = (lanes)(0x1.8p+23f);
    const lanes shifted = convoy_fma(*x, (lanes)(0x1.715476p+0f), shifter);
    const lanes k = shifted - shifter;
    lanes r = convoy_fma(k, (lanes)(-0x1.62e4p-1f), *x);
    r = convoy_fma(k, (lanes)(-0x1.7f7d1cp-20f), r);
    if (rest) r = r + *rest;
    lanes q = (lanes)(0x1.6db5b2p-10f);
    q = convoy_fma(q, r, (lanes)(0x1.123c78p-7f));
    q = convoy_fma(q, r, (lanes)(0x1.55545cp-5f));
    q = convoy_fma(q, r, (lanes)(0x1.55548ep-3f));
    q = convoy_fma(q, r, (lanes)(0.5f));
    *above_one = convoy_fma(r * r, q, r);
    *power = (lanes)(((lane_bits)shifted << 23) + (lane_bits)(0x3F800000u));
}

// Returns e^(x + rest) for x <= 0.
CONVOY_INLINE void exponential(const lanes *x, const lanes *rest, lanes *result) {
    lanes power, above_one;
    exponential_parts(x, rest, &power, &above_one);
    const lanes value = convoy_fma(above_one, power, power);
    *result = *x < LEAST_EXPONENT ? (lanes)(0.0f) : value;
}

// Returns max(least, min(x, most)), and a NaN for a NaN.
CONVOY_INLINE void clamp(const lanes *x, float least, float most, lanes *result) {
    const lanes value = *x < least ? (lanes)(least) : *x;
    *result = value > most ? (lanes)(most) : value;
}

CONVOY_INLINE void absolute(const lanes *x, lanes *result) {
    *result = (lanes)((lane_bits)*x & 0x7FFFFFFFu);
}

// Returns e = e^-|x| and 1 / (1 + e), from which sigmoid and SiLU are computed without overflow.
CONVOY_INLINE void logistic_parts(const lanes *x, lanes *e, lanes *inverse) {
    lanes size;
    absolute(x, &size);
    size = -size;
    exponential(&size, 0, e);
    *inverse = 1 / (1 + *e);
}

CONVOY_INLINE void sigmoid(const lanes *x, lanes *y) {
    lanes e, inverse;
    logistic_parts(x, &e, &inverse);
    *y = *x < 0 ? e * inverse : inverse;
}

CONVOY_INLINE void sigmoid_slope(const lanes *x, lanes *slope) {
    lanes e, inverse;
    logistic_parts(x, &e, &inverse);
    *slope = (e * inverse) * inverse;
}

CONVOY_INLINE void silu(const lanes *x, lanes *y) {
    lanes value, bounded;
    sigmoid(x, &value);
    // At minus infinity the product with 0 would be a NaN.
    clamp(x, -104, __builtin_inff(), &bounded);
    *y = bounded * value;
}

CONVOY_INLINE void silu_slope(const lanes *x, lanes *slope) {
    lanes e, inverse, bounded;
    logistic_parts(x, &e, &inverse);
    clamp(x, -104, 104, &bounded);
    const lanes part = e * inverse;
    *slope = convoy_fma(bounded, part * inverse, *x < 0 ? part : inverse);
}

// With d = e^-2|x| - 1, the hyperbolic tangent of |x| is -d / (2 + d). Small numbers keep all their
// digits since d is computed without forming 1 + d.
CONVOY_INLINE void hyperbolic_tangent(const lanes *x, lanes *y) {
    lanes size, power, above_one;
    absolute(x, &size);
    clamp(&size, 0, 10, &size);
    size = size * -2;
    exponential_parts(&size, 0, &power, &above_one);
    const lanes d = convoy_fma(power, above_one, power - 1);
    lanes value = d / (2 + d);
    absolute(&value, &value);
    *y = (lanes)((lane_bits)value | ((lane_bits)*x & 0x80000000u));
}

// With e = e^-2|x| the slope is 4 e / (1 + e)^2.
CONVOY_INLINE void hyperbolic_tangent_slope(const lanes *x, lanes *slope) {
    lanes size, e;
    absolute(x, &size);
    size = size * -2;
    exponential(&size, 0, &e);
    const lanes inverse = 1 / (1 + e);
    *slope = 4 * ((e * inverse) * inverse);
}

// Returns the standard normal distribution at x, and e^(-x^2 / 2).
//
// With t = |x|, the tail beyond t is e^(-t^2 / 2) / (t + 4) * p((t - 4) / (t + 4)), where p is the
// polynomial of degree 9 with the least relative error up to t = 14: 3e-8. There the tail is 0 by
// LEAST_EXPONENT. The rounding error of t^2 is computed too, since it counts t^2 / 2 times.
CONVOY_INLINE void normal_distribution(const lanes *x, lanes *below, lanes *bell) {
    lanes t;
    absolute(x, &t);
    clamp(&t, 0, 14, &t);
    const lanes square = t * t, half = square * -0.5f;
    const lanes rest = convoy_fma(t, t, -square) * -0.5f;
    exponential(&half, &rest, bell);
    const lanes inverse = 1 / (t + 4), u = (t - 4) * inverse;
    lanes p = (lanes)(-0x1.0fa35p-13f);
    p = convoy_fma(p, u, (lanes)(0x1.83333ep-13f));
    p = convoy_fma(p, u, (lanes)(0x1.9c0d94p-10f));
    p = convoy_fma(p, u, (lanes)(-0x1.ccb74ap-9f));
    p = convoy_fma(p, u, (lanes)(-0x1.ed4586p-8f));
    p = convoy_fma(p, u, (lanes)(0x1.eed4acp-5f));
    p = convoy_fma(p, u, (lanes)(-0x1.7dffep-3f));
    p = convoy_fma(p, u, (lanes)(0x1.8c6d9cp-2f));
    p = convoy_fma(p, u, (lanes)(-0x1.373e3ap-1f));
    p = convoy_fma(p, u, (lanes)(0x1.82b4bcp-1f));
    const lanes tail = (*bell * inverse) * p;
    *below = *x < 0 ? tail : 1 - tail;
}

CONVOY_INLINE void gelu(const lanes *x, lanes *y) {
    lanes below, bell, bounded;
    normal_distribution(x, &below, &bell);
    clamp(x, -14, __builtin_inff(), &bounded);
    *y = bounded * below;
}

CONVOY_INLINE void gelu_slope(const lanes *x, lanes *slope) {
    lanes below, bell, bounded;
    normal_distribution(x, &below, &bell);
    clamp(x, -14, 14, &bounded);
    // The density is e^(-x^2 / 2) / sqrt(2 pi).
    *slope = convoy_fma(bounded, bell * 0x1.988454p-2f, below);
}

// Returns `height` between two numbers, and 0 at these and outside.
CONVOY_INLINE void step(const lanes *x, float left, float right, float height, lanes *y) {
    const lane_ints is_outside = (*x <= left) | (*x >= right);
    *y = is_outside ? (lanes)(0.0f) : (lanes)(height);
}

CONVOY_INLINE void hard_sigmoid(const lanes *x, lanes *y) {
    lanes sum = *x + 3;
    clamp(&sum, 0, 6, &sum);
    *y = sum / 6;
}

CONVOY_INLINE void hard_swish(const lanes *x, lanes *y) {
    const lanes value = *x * (*x + 3) / 6;
    *y = *x <= -3 ? (lanes)(0.0f) : *x >= 3 ? *x : value;
}

CONVOY_INLINE void hard_swish_slope(const lanes *x, lanes *slope) {
    const lanes value = *x / 3 + 0.5f;
    *slope = *x <= -3 ? (lanes)(0.0f) : *x >= 3 ? (lanes)(1.0f) : value;
}

// `kind` is a constant for the compiler.
CONVOY_INLINE void activate(convoy_activation kind, float slope, const lanes *x, lanes *y,
                            ptrdiff_t count) {
    for (ptrdiff_t i = 0; i < count; i++) {
        const lanes value = x[i];
        lanes result;
        switch (kind) {
        case CONVOY_RELU6: clamp(&value, 0, 6, &result); break;
        case CONVOY_LEAKY_RELU: result = value > 0 ? value : value * slope; break;
        case CONVOY_HARD_SIGMOID: hard_sigmoid(&value, &result); break;
        case CONVOY_HARD_SWISH: hard_swish(&value, &result); break;
        case CONVOY_SIGMOID: sigmoid(&value, &result); break;
        case CONVOY_TANH: hyperbolic_tangent(&value, &result); break;
        case CONVOY_SILU: silu(&value, &result); break;
        case CONVOY_GELU: gelu(&value, &result); break;
        }
        y[i] = result;
    }
}

CONVOY_INLINE void activate_backward(convoy_activation kind, float slope, const lanes *x,
                                     const lanes *gradient, lanes *input_gradient,
                                     ptrdiff_t count) {
    for (ptrdiff_t i = 0; i < count; i++) {
        const lanes value = x[i];
        lanes factor;
        switch (kind) {
        case CONVOY_RELU6: step(&value, 0, 6, 1, &factor); break;
        case CONVOY_LEAKY_RELU: factor = value > 0 ? (lanes)(1.0f) : (lanes)(slope); break;
        case CONVOY_HARD_SIGMOID: step(&value, -3, 3, 1.0f / 6, &factor); break;
        case CONVOY_HARD_SWISH: hard_swish_slope(&value, &factor); break;
        case CONVOY_SIGMOID: sigmoid_slope(&value, &factor); break;
        case CONVOY_TANH: hyperbolic_tangent_slope(&value, &factor); break;
        case CONVOY_SILU: silu_slope(&value, &factor); break;
        case CONVOY_GELU: gelu_slope(&value, &factor); break;
        }
        input_gradient[i] = gradient[i] * factor;
    }
}

#define FOR_ALL_KINDS(RUN)                                                                         \
    switch (kind) {                                                                                \
    case CONVOY_RELU6: RUN(CONVOY_RELU6); break;                                                   \
    case CONVOY_LEAKY_RELU: RUN(CONVOY_LEAKY_RELU); break;                                         \
    case CONVOY_HARD_SIGMOID: RUN(CONVOY_HARD_SIGMOID); break;                                     \
    case CONVOY_HARD_SWISH: RUN(CONVOY_HARD_SWISH); break;                                         \
    case CONVOY_SIGMOID: RUN(CONVOY_SIGMOID); break;                                               \
    case CONVOY_TANH: RUN(CONVOY_TANH); break;                                                     \
    case CONVOY_SILU: RUN(CONVOY_SILU); break;                                                     \
    case CONVOY_GELU: RUN(CONVOY_GELU); break;                                                     \
    }

CONVOY_INLINE void convoy_lanes_activate_body(convoy_activation kind, float slope, const float *x,
                                              float *y, ptrdiff_t count) {
#define RUN(kind) activate(kind, slope, (const lanes *)x, (lanes *)y, count / CONVOY_LANES)
    FOR_ALL_KINDS(RUN)
#undef RUN
}

CONVOY_LANE_FUNCTION(convoy_lanes_activate,
                     (convoy_activation kind, float slope, const float *x, float *y,
                      ptrdiff_t count),
                     (kind, slope, x, y, count))

CONVOY_INLINE void convoy_lanes_activate_backward_body(convoy_activation kind, float slope,
                                                       const float *x, const float *gradient,
                                                       float *input_gradient, ptrdiff_t count) {
#define RUN(kind)                                                                                  \
    activate_backward(kind, slope, (const lanes *)x, (const lanes *)gradient,                      \
                      (lanes *)input_gradient, count / CONVOY_LANES)
    FOR_ALL_KINDS(RUN)
#undef RUN
}

CONVOY_LANE_FUNCTION(convoy_lanes_activate_backward,
                     (convoy_activation kind, float slope, const float *x, const float *gradient,
                      float *input_gradient, ptrdiff_t count),
                     (kind, slope, x, gradient, input_gradient, count))
