#include "activation_kernels.h"

#include "bfloat16.h"
#include "dispatch.h"

#pragma STDC FP_CONTRACT OFF

#define NO_CHOICE 0xFFFF

// bfloat16 ----------------------------------------------------------------------------------------

typedef uint16_t bf16;

CONVOY_INLINE float to_float(bf16 value) {
    union { uint32_t bits; float value; } number = {.bits = (uint32_t)value << 16};
    return number.value;
}

// Rounds to nearest even. A NaN stays a NaN.
CONVOY_INLINE bf16 to_bf16(float value) {
    union { float value; uint32_t bits; } number = {.value = value};
    uint32_t rounded = convoy_nearest_upper_half(number.bits);
    return (bf16)(value != value ? (number.bits >> 16) | 0x40 : rounded);
}

// Returns all ones where the value is above zero, otherwise zero. The bits of a value above zero
// are a positive integer.
CONVOY_INLINE uint16_t positive_mask(bf16 value) { return (uint16_t)-((int16_t)value > 0); }

// Returns the bits of a float. Numbers that are not negative compare as their bits do.
CONVOY_INLINE int32_t float_bits(float value) {
    union { float value; int32_t bits; } number = {.value = value};
    return number.bits;
}

CONVOY_INLINE float from_float_bits(int32_t bits) {
    union { int32_t bits; float value; } number = {.bits = bits};
    return number.value;
}

// Pooling -----------------------------------------------------------------------------------------

// A range first..<last along one axis: the part of a window that lies inside the input, or the
// windows that cover an input position.
typedef struct {
    ptrdiff_t origin, first, last;
} span;

CONVOY_INLINE span window_span(ptrdiff_t output, ptrdiff_t stride, ptrdiff_t padding,
                               ptrdiff_t window, ptrdiff_t input_extent) {
    span s;
    s.origin = output * stride - padding;
    s.first = s.origin < 0 ? -s.origin : 0;
    s.last = s.origin + window > input_extent ? input_extent - s.origin : window;
    return s;
}

// Returns the windows first..<last of one axis that cover an input position. `origin` is that
// position, padding included.
CONVOY_INLINE span covering_span(ptrdiff_t input, ptrdiff_t stride, ptrdiff_t padding,
                                 ptrdiff_t window, ptrdiff_t output_extent) {
    span s;
    ptrdiff_t position = input + padding;
    s.origin = position;
    s.first = position < window ? 0 : (position - window) / stride + 1;
    s.last = position / stride + 1 > output_extent ? output_extent : position / stride + 1;
    return s;
}

CONVOY_INLINE int is_halves(const convoy_pool_shape *shape) {
    return shape->window_height == 2 && shape->window_width == 2 && shape->stride_height == 2 &&
           shape->stride_width == 2 && shape->padding_top == 0 && shape->padding_left == 0 &&
           shape->output_height == shape->input_height / 2 &&
           shape->output_width == shape->input_width / 2;
}

// Compares one more element of a window with the best one. It wins when it is larger or a NaN.
#define CHALLENGE(VALUE, PLACE)                                                                    \
    {                                                                                              \
        float value = VALUE;                                                                       \
        int wins = (value > best) | (value != value);                                              \
        best = wins ? value : best;                                                                \
        place = wins ? PLACE : place;                                                              \
    }

// Defines the pooling kernels of one element type. `B` is the channel block, a constant where it is
// known when compiling. LOAD and STORE convert elements to floats and back, TO_BITS and FROM_BITS
// convert them to integers and back. Locals of B elements become vector registers.
#define DEFINE_POOL(NAME, ELEMENT, LOAD, STORE, BITS, TO_BITS, FROM_BITS)                          \
    CONVOY_INLINE void NAME##_window(const ELEMENT *plane, ELEMENT *output, uint16_t *choice,      \
                                     ptrdiff_t width, ptrdiff_t B, span rows, span columns,        \
                                     ptrdiff_t window_width, int relu_mask) {                      \
        for (ptrdiff_t base = 0; base < B; base += 16) {                                           \
            ptrdiff_t lanes = B - base < 16 ? B - base : 16;                                       \
            float best[16];                                                                        \
            int32_t place[16];                                                                     \
            int32_t start = (int32_t)(rows.first * window_width + columns.first);                  \
            const ELEMENT *origin =                                                                \
                plane + (rows.origin * width + columns.origin) * B + base;                         \
            const ELEMENT *values = origin + (rows.first * width + columns.first) * B;             \
            for (ptrdiff_t l = 0; l < lanes; l++) {                                                \
                best[l] = LOAD(values[l]);                                                         \
                place[l] = start;                                                                  \
            }                                                                                      \
            for (ptrdiff_t ky = rows.first; ky < rows.last; ky++) {                                \
                for (ptrdiff_t kx = columns.first; kx < columns.last; kx++) {                      \
                    int32_t here = (int32_t)(ky * window_width + kx);                              \
                    values = origin + (ky * width + kx) * B;                                       \
                    for (ptrdiff_t l = 0; l < lanes; l++) {                                        \
                        float value = LOAD(values[l]);                                             \
                        int wins = (value > best[l]) | (value != value);                           \
                        best[l] = wins ? value : best[l];                                          \
                        place[l] = wins ? here : place[l];                                         \
                    }                                                                              \
                }                                                                                  \
            }                                                                                      \
            for (ptrdiff_t l = 0; l < lanes; l++) {                                                \
                output[base + l] = STORE(best[l]);                                                 \
                choice[base + l] =                                                                 \
                    (uint16_t)(relu_mask && !(best[l] > 0) ? NO_CHOICE : place[l]);                \
            }                                                                                      \
        }                                                                                          \
    }                                                                                              \
    CONVOY_INLINE void NAME##_blocked(const ELEMENT *restrict input, ELEMENT *restrict output,     \
                                      uint16_t *restrict choice, const convoy_pool_shape *s,       \
                                      ptrdiff_t B, int relu_mask) {                                \
        for (ptrdiff_t plane = 0; plane < s->plane_count; plane++) {                               \
            for (ptrdiff_t y = 0; y < s->output_height; y++) {                                     \
                span rows = window_span(y, s->stride_height, s->padding_top, s->window_height,     \
                                        s->input_height);                                          \
                for (ptrdiff_t x = 0; x < s->output_width; x++) {                                  \
                    span columns = window_span(x, s->stride_width, s->padding_left,                \
                                               s->window_width, s->input_width);                   \
                    NAME##_window(input, output, choice, s->input_width, B, rows, columns,         \
                                  s->window_width, relu_mask);                                     \
                    output += B;                                                                   \
                    choice += B;                                                                   \
                }                                                                                  \
            }                                                                                      \
            input += s->input_height * s->input_width * B;                                         \
        }                                                                                          \
    }                                                                                              \
    CONVOY_INLINE void NAME##_backward_blocked(                                                    \
        const ELEMENT *restrict output_gradient, const uint16_t *restrict choice,                  \
        ELEMENT *restrict input_gradient, const convoy_pool_shape *s, ptrdiff_t B) {               \
        for (ptrdiff_t plane = 0; plane < s->plane_count; plane++) {                               \
            for (ptrdiff_t y = 0; y < s->input_height; y++) {                                      \
                span rows = covering_span(y, s->stride_height, s->padding_top, s->window_height,   \
                                          s->output_height);                                       \
                for (ptrdiff_t x = 0; x < s->input_width; x++) {                                   \
                    span columns = covering_span(x, s->stride_width, s->padding_left,              \
                                                 s->window_width, s->output_width);                \
                    for (ptrdiff_t base = 0; base < B; base += 16) {                               \
                        ptrdiff_t lanes = B - base < 16 ? B - base : 16;                           \
                        float sum[16] = {0};                                                       \
                        for (ptrdiff_t oy = rows.first; oy < rows.last; oy++) {                    \
                            for (ptrdiff_t ox = columns.first; ox < columns.last; ox++) {          \
                                uint16_t here = (uint16_t)(                                        \
                                    (rows.origin - oy * s->stride_height) * s->window_width +      \
                                    columns.origin - ox * s->stride_width);                        \
                                ptrdiff_t from = (oy * s->output_width + ox) * B + base;           \
                                for (ptrdiff_t l = 0; l < lanes; l++)                              \
                                    sum[l] += choice[from + l] == here                             \
                                                  ? LOAD(output_gradient[from + l])                \
                                                  : 0.0f;                                          \
                            }                                                                      \
                        }                                                                          \
                        for (ptrdiff_t l = 0; l < lanes; l++)                                      \
                            input_gradient[base + l] = STORE(sum[l]);                              \
                    }                                                                              \
                    input_gradient += B;                                                           \
                }                                                                                  \
            }                                                                                      \
            output_gradient += s->output_height * s->output_width * B;                             \
            choice += s->output_height * s->output_width * B;                                      \
        }                                                                                          \
    }                                                                                              \
    /* The usual case: windows of 2x2 that do not overlap, without padding. */                     \
    CONVOY_INLINE void NAME##_halves(const ELEMENT *restrict input, ELEMENT *restrict output,      \
                                     uint16_t *restrict choice, const convoy_pool_shape *s,        \
                                     ptrdiff_t B) {                                                \
        ptrdiff_t row = s->input_width * B;                                                        \
        for (ptrdiff_t plane = 0; plane < s->plane_count; plane++) {                               \
            for (ptrdiff_t y = 0; y < s->output_height; y++) {                                     \
                const ELEMENT *upper = input + 2 * y * row;                                        \
                const ELEMENT *lower = upper + row;                                                \
                for (ptrdiff_t x = 0; x < s->output_width; x++) {                                  \
                    for (ptrdiff_t l = 0; l < B; l++) {                                            \
                        float best = LOAD(upper[l]);                                               \
                        int32_t place = 0;                                                         \
                        CHALLENGE(LOAD(upper[B + l]), 1)                                           \
                        CHALLENGE(LOAD(lower[l]), 2)                                               \
                        CHALLENGE(LOAD(lower[B + l]), 3)                                           \
                        output[l] = STORE(best);                                                   \
                        choice[l] = (uint16_t)place;                                               \
                    }                                                                              \
                    upper += 2 * B;                                                                \
                    lower += 2 * B;                                                                \
                    output += B;                                                                   \
                    choice += B;                                                                   \
                }                                                                                  \
            }                                                                                      \
            input += s->input_height * row;                                                        \
        }                                                                                          \
    }                                                                                              \
    /* The usual case behind a ReLU: bit patterns compare as the numbers do. */                    \
    CONVOY_INLINE void NAME##_halves_of_relu(const ELEMENT *restrict input,                        \
                                             ELEMENT *restrict output, uint16_t *restrict choice,  \
                                             const convoy_pool_shape *s, ptrdiff_t B) {            \
        ptrdiff_t row = s->input_width * B;                                                        \
        for (ptrdiff_t plane = 0; plane < s->plane_count; plane++) {                               \
            for (ptrdiff_t y = 0; y < s->output_height; y++) {                                     \
                const ELEMENT *upper = input + 2 * y * row;                                        \
                const ELEMENT *lower = upper + row;                                                \
                for (ptrdiff_t x = 0; x < s->output_width; x++) {                                  \
                    for (ptrdiff_t l = 0; l < B; l++) {                                            \
                        BITS values[4] = {TO_BITS(upper[l]), TO_BITS(upper[B + l]),                \
                                          TO_BITS(lower[l]), TO_BITS(lower[B + l])};               \
                        BITS left = values[0] > values[2] ? values[0] : values[2];                 \
                        BITS right = values[1] > values[3] ? values[1] : values[3];                \
                        BITS best = left > right ? left : right;                                   \
                        uint16_t place = values[2] == best ? 2 : 3;                                \
                        place = values[1] == best ? 1 : place;                                     \
                        place = values[0] == best ? 0 : place;                                     \
                        output[l] = FROM_BITS(best);                                               \
                        choice[l] = best > 0 ? place : NO_CHOICE;                                  \
                    }                                                                              \
                    upper += 2 * B;                                                                \
                    lower += 2 * B;                                                                \
                    output += B;                                                                   \
                    choice += B;                                                                   \
                }                                                                                  \
            }                                                                                      \
            input += s->input_height * row;                                                        \
        }                                                                                          \
    }                                                                                              \
    CONVOY_INLINE void NAME##_backward_halves(                                                     \
        const ELEMENT *restrict output_gradient, const uint16_t *restrict choice,                  \
        ELEMENT *restrict input_gradient, const convoy_pool_shape *s, ptrdiff_t B) {               \
        ptrdiff_t row = s->input_width * B;                                                        \
        for (ptrdiff_t plane = 0; plane < s->plane_count; plane++) {                               \
            for (ptrdiff_t y = 0; y < s->output_height; y++) {                                     \
                ELEMENT *upper = input_gradient + 2 * y * row;                                     \
                ELEMENT *lower = upper + row;                                                      \
                for (ptrdiff_t x = 0; x < s->output_width; x++) {                                  \
                    for (ptrdiff_t l = 0; l < B; l++) {                                            \
                        ELEMENT gradient = output_gradient[l];                                     \
                        uint16_t place = choice[l];                                                \
                        upper[l] = place == 0 ? gradient : 0;                                      \
                        upper[B + l] = place == 1 ? gradient : 0;                                  \
                        lower[l] = place == 2 ? gradient : 0;                                      \
                        lower[B + l] = place == 3 ? gradient : 0;                                  \
                    }                                                                              \
                    upper += 2 * B;                                                                \
                    lower += 2 * B;                                                                \
                    output_gradient += B;                                                          \
                    choice += B;                                                                   \
                }                                                                                  \
                if (s->input_width & 1)                                                            \
                    for (ptrdiff_t l = 0; l < B; l++) upper[l] = lower[l] = 0;                     \
            }                                                                                      \
            if (s->input_height & 1) {                                                             \
                ELEMENT *last = input_gradient + (s->input_height - 1) * row;                      \
                for (ptrdiff_t i = 0; i < row; i++) last[i] = 0;                                   \
            }                                                                                      \
            input_gradient += s->input_height * row;                                               \
        }                                                                                          \
    }                                                                                              \
    CONVOY_CLONES                                                                                  \
    void NAME(const ELEMENT *input, ELEMENT *output, uint16_t *choice,                             \
              const convoy_pool_shape *shape, int relu_mask) {                                     \
        if (shape->block == 16 && is_halves(shape) && relu_mask)                                   \
            NAME##_halves_of_relu(input, output, choice, shape, 16);                               \
        else if (shape->block == 8 && is_halves(shape) && relu_mask)                               \
            NAME##_halves_of_relu(input, output, choice, shape, 8);                                \
        else if (shape->block == 16 && is_halves(shape))                                           \
            NAME##_halves(input, output, choice, shape, 16);                                       \
        else if (shape->block == 8 && is_halves(shape))                                            \
            NAME##_halves(input, output, choice, shape, 8);                                        \
        else if (shape->block == 16)                                                               \
            NAME##_blocked(input, output, choice, shape, 16, relu_mask);                           \
        else                                                                                       \
            NAME##_blocked(input, output, choice, shape, shape->block, relu_mask);                 \
    }                                                                                              \
    CONVOY_CLONES                                                                                  \
    void NAME##_BACKWARD(const ELEMENT *output_gradient, const uint16_t *choice,                   \
                         ELEMENT *input_gradient, const convoy_pool_shape *shape) {                \
        if (shape->block == 16 && is_halves(shape))                                                \
            NAME##_backward_halves(output_gradient, choice, input_gradient, shape, 16);            \
        else if (shape->block == 8 && is_halves(shape))                                            \
            NAME##_backward_halves(output_gradient, choice, input_gradient, shape, 8);             \
        else if (shape->block == 16)                                                               \
            NAME##_backward_blocked(output_gradient, choice, input_gradient, shape, 16);           \
        else                                                                                       \
            NAME##_backward_blocked(output_gradient, choice, input_gradient, shape,                \
                                    shape->block);                                                 \
    }

#define SAME(value) (value)
#define convoy_max_pool_BACKWARD convoy_max_pool_backward
#define convoy_max_pool_bf16_BACKWARD convoy_max_pool_backward_bf16
DEFINE_POOL(convoy_max_pool, float, SAME, SAME, int32_t, float_bits, from_float_bits)
DEFINE_POOL(convoy_max_pool_bf16, bf16, to_float, to_bf16, int16_t, (int16_t), (bf16))

// Elementwise -------------------------------------------------------------------------------------

CONVOY_CLONES
void convoy_relu(float *values, ptrdiff_t count) {
    CONVOY_ELEMENTWISE
    for (ptrdiff_t i = 0; i < count; i++) values[i] = values[i] <= 0 ? 0 : values[i];
}

CONVOY_CLONES
void convoy_relu_bf16(uint16_t *values, ptrdiff_t count) {
    CONVOY_ELEMENTWISE
    for (ptrdiff_t i = 0; i < count; i++) values[i] &= positive_mask(values[i]);
}

CONVOY_CLONES
void convoy_relu_backward(float *gradient, const float *output, ptrdiff_t count) {
    CONVOY_ELEMENTWISE
    for (ptrdiff_t i = 0; i < count; i++) gradient[i] = output[i] <= 0 ? 0 : gradient[i];
}

CONVOY_CLONES
void convoy_relu_backward_bf16(uint16_t *gradient, const uint16_t *output, ptrdiff_t count) {
    CONVOY_ELEMENTWISE
    for (ptrdiff_t i = 0; i < count; i++)
        gradient[i] &= positive_mask(output[i]);
}

CONVOY_CLONES
void convoy_scale(float *values, const float *factors, ptrdiff_t count) {
    CONVOY_ELEMENTWISE
    for (ptrdiff_t i = 0; i < count; i++) values[i] *= factors[i];
}

CONVOY_CLONES
void convoy_scale_bf16(uint16_t *values, const float *factors, ptrdiff_t count) {
    CONVOY_ELEMENTWISE
    for (ptrdiff_t i = 0; i < count; i++) values[i] = to_bf16(to_float(values[i]) * factors[i]);
}
