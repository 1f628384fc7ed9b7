#include "lanes.h"

#pragma STDC FP_CONTRACT OFF

// The number of sums that are computed at a time. Eight keep two multipliers with a latency of four
// cycles busy.
#define SUMS 8

CONVOY_INLINE void dense_block(const float *input, const float *weights, const float *bias,
                               float *output, ptrdiff_t inputs, ptrdiff_t stored, int relu) {
    lanes sum[SUMS];
    const float *rows[SUMS];
    CONVOY_UNROLL
    for (int j = 0; j < SUMS; j++) {
        const ptrdiff_t row = j < stored ? j : stored - 1;
        sum[j] = (lanes)(bias ? bias[row] : 0.0f);
        rows[j] = weights + row * inputs;
    }
    for (ptrdiff_t i = 0; i < inputs; i++) {
        const lanes x = *(const lanes *)(input + i * CONVOY_LANES);
        CONVOY_UNROLL
        for (int j = 0; j < SUMS; j++) sum[j] = convoy_fma((lanes)(rows[j][i]), x, sum[j]);
    }
    CONVOY_UNROLL
    for (int j = 0; j < SUMS; j++) {
        if (j >= stored) break;
        lanes value = sum[j];
        if (relu) value = value < 0 ? (lanes)(0.0f) : value;
        *(lanes *)(output + j * CONVOY_LANES) = value;
    }
}

CONVOY_INLINE void convoy_lanes_dense_body(const float *input, const float *weights,
                                           const float *bias, float *output, ptrdiff_t inputs,
                                           ptrdiff_t outputs, int relu) {
    for (ptrdiff_t o = 0; o < outputs; o += SUMS) {
        dense_block(input, weights + o * inputs, bias ? bias + o : 0, output + o * CONVOY_LANES,
                    inputs, outputs - o < SUMS ? outputs - o : SUMS, relu);
    }
}

CONVOY_LANE_FUNCTION(convoy_lanes_dense,
                     (const float *input, const float *weights, const float *bias, float *output,
                      ptrdiff_t inputs, ptrdiff_t outputs, int relu),
                     (input, weights, bias, output, inputs, outputs, relu))

// The number of outputs whose weights are read side by side. Each is a stream of its own for the
// prefetcher, while one output after another for a few inputs would read a page each.
#define STREAMS 16

// Adds the parts of some outputs to the sums of `width` inputs, or begins the sums with them.
CONVOY_INLINE void input_gradient_block(const float *output_gradient, const float *weights,
                                        ptrdiff_t inputs, ptrdiff_t outputs, int width, int adds,
                                        float *input_gradient) {
    lanes sum[SUMS];
    CONVOY_UNROLL
    for (int j = 0; j < width; j++)
        sum[j] = adds ? *(const lanes *)(input_gradient + j * CONVOY_LANES) : (lanes)(0.0f);
    for (ptrdiff_t o = 0; o < outputs; o++) {
        const lanes g = *(const lanes *)(output_gradient + o * CONVOY_LANES);
        const float *row = weights + o * inputs;
        CONVOY_UNROLL
        for (int j = 0; j < width; j++) sum[j] = convoy_fma((lanes)(row[j]), g, sum[j]);
    }
    CONVOY_UNROLL
    for (int j = 0; j < width; j++) *(lanes *)(input_gradient + j * CONVOY_LANES) = sum[j];
}

CONVOY_INLINE void convoy_lanes_dense_input_gradient_body(const float *output_gradient,
                                                          const float *weights,
                                                          float *input_gradient, ptrdiff_t inputs,
                                                          ptrdiff_t outputs, int adds) {
    for (ptrdiff_t o = 0; o < outputs; o += STREAMS) {
        const ptrdiff_t here = outputs - o < STREAMS ? outputs - o : STREAMS;
        const float *g = output_gradient + o * CONVOY_LANES, *rows = weights + o * inputs;
        ptrdiff_t i = 0;
        for (; i + SUMS <= inputs; i += SUMS)
            input_gradient_block(g, rows + i, inputs, here, SUMS, adds || o > 0,
                                 input_gradient + i * CONVOY_LANES);
        for (; i < inputs; i++)
            input_gradient_block(g, rows + i, inputs, here, 1, adds || o > 0,
                                 input_gradient + i * CONVOY_LANES);
    }
}

CONVOY_LANE_FUNCTION(convoy_lanes_dense_input_gradient,
                     (const float *output_gradient, const float *weights, float *input_gradient,
                      ptrdiff_t inputs, ptrdiff_t outputs, int adds),
                     (output_gradient, weights, input_gradient, inputs, outputs, adds))

// The gradient of the weights is computed in blocks of four outputs and sixteen inputs, so that
// every element of the gradient is written once.
#define OUTPUTS CONVOY_LANE_OUTPUTS
#define VECTORS 2

CONVOY_INLINE void rows_block(const float *input, const float *output_gradient, ptrdiff_t rows,
                              ptrdiff_t inputs, ptrdiff_t outputs, ptrdiff_t stored,
                              float *gradient, int adds) {
    loose_lanes sum[OUTPUTS][VECTORS];
    CONVOY_UNROLL
    for (int o = 0; o < OUTPUTS; o++) {
        CONVOY_UNROLL
        for (int v = 0; v < VECTORS; v++) sum[o][v] = (loose_lanes)(0.0f);
    }
    for (ptrdiff_t n = 0; n < rows; n++) {
        loose_lanes x[VECTORS];
        CONVOY_UNROLL
        for (int v = 0; v < VECTORS; v++)
            x[v] = *(const loose_lanes *)(input + n * inputs + v * CONVOY_LANES);
        CONVOY_UNROLL
        for (int o = 0; o < OUTPUTS; o++) {
            const float g = output_gradient[n * outputs + (o < stored ? o : stored - 1)];
            CONVOY_UNROLL
            for (int v = 0; v < VECTORS; v++)
                sum[o][v] = convoy_fma((loose_lanes)(g), x[v], sum[o][v]);
        }
    }
    CONVOY_UNROLL
    for (int o = 0; o < OUTPUTS; o++) {
        if (o >= stored) break;
        CONVOY_UNROLL
        for (int v = 0; v < VECTORS; v++) {
            loose_lanes *place = (loose_lanes *)(gradient + o * inputs + v * CONVOY_LANES);
            *place = adds ? *place + sum[o][v] : sum[o][v];
        }
    }
}

// Computes the columns of inputs from `first` on: blocks of sixteen, then one by one.
CONVOY_INLINE void weight_gradient_columns(const float *input, const float *output_gradient,
                                           ptrdiff_t rows, ptrdiff_t inputs, ptrdiff_t outputs,
                                           ptrdiff_t first, float *gradient, int adds) {
    const ptrdiff_t width = VECTORS * CONVOY_LANES;
    const ptrdiff_t whole = first + (inputs - first) / width * width;
    // Sixteen inputs of all rows stay in the first-level cache for all outputs.
    for (ptrdiff_t i = first; i < whole; i += width) {
        for (ptrdiff_t o = 0; o < outputs; o += OUTPUTS) {
            rows_block(input + i, output_gradient + o, rows, inputs, outputs,
                       outputs - o < OUTPUTS ? outputs - o : OUTPUTS, gradient + o * inputs + i,
                       adds);
        }
    }
    for (ptrdiff_t o = 0; o < outputs; o++) {
        for (ptrdiff_t i = whole; i < inputs; i++) {
            float sum = 0;
            for (ptrdiff_t n = 0; n < rows; n++)
                sum = convoy_fma(output_gradient[n * outputs + o], input[n * inputs + i], sum);
            float *place = gradient + o * inputs + i;
            *place = adds ? *place + sum : sum;
        }
    }
}

CONVOY_INLINE void convoy_rows_dense_weight_gradient_body(const float *input,
                                                          const float *output_gradient,
                                                          ptrdiff_t rows, ptrdiff_t inputs,
                                                          ptrdiff_t outputs, float *gradient,
                                                          int adds) {
    weight_gradient_columns(input, output_gradient, rows, inputs, outputs, 0, gradient, adds);
}

// As rows_block, with twelve outputs, or four or one, and thirty-two inputs.
CONVOY_INLINE void wide_rows_block(const float *input, const float *output_gradient, ptrdiff_t rows,
                                   ptrdiff_t inputs, ptrdiff_t outputs, int height,
                                   float *gradient, int adds) {
    loose_wide sum[12][VECTORS];
    CONVOY_UNROLL
    for (int o = 0; o < height; o++) {
        CONVOY_UNROLL
        for (int v = 0; v < VECTORS; v++) sum[o][v] = (loose_wide)(0.0f);
    }
    for (ptrdiff_t n = 0; n < rows; n++) {
        loose_wide x[VECTORS];
        CONVOY_UNROLL
        for (int v = 0; v < VECTORS; v++)
            x[v] = *(const loose_wide *)(input + n * inputs + v * 16);
        CONVOY_UNROLL
        for (int o = 0; o < height; o++) {
            const loose_wide g = (loose_wide)(output_gradient[n * outputs + o]);
            CONVOY_UNROLL
            for (int v = 0; v < VECTORS; v++) sum[o][v] = convoy_fma(g, x[v], sum[o][v]);
        }
    }
    CONVOY_UNROLL
    for (int o = 0; o < height; o++) {
        CONVOY_UNROLL
        for (int v = 0; v < VECTORS; v++) {
            loose_wide *place = (loose_wide *)(gradient + o * inputs + v * 16);
            *place = adds ? *place + sum[o][v] : sum[o][v];
        }
    }
}

CONVOY_INLINE void convoy_rows_dense_weight_gradient_wide_body(
    const float *input, const float *output_gradient, ptrdiff_t rows, ptrdiff_t inputs,
    ptrdiff_t outputs, float *gradient, int adds) {
    const ptrdiff_t width = VECTORS * 16, whole = inputs / width * width;
    for (ptrdiff_t i = 0; i < whole; i += width) {
        ptrdiff_t o = 0;
        for (; o + 12 <= outputs; o += 12)
            wide_rows_block(input + i, output_gradient + o, rows, inputs, outputs, 12,
                            gradient + o * inputs + i, adds);
        for (; o + 4 <= outputs; o += 4)
            wide_rows_block(input + i, output_gradient + o, rows, inputs, outputs, 4,
                            gradient + o * inputs + i, adds);
        for (; o < outputs; o++)
            wide_rows_block(input + i, output_gradient + o, rows, inputs, outputs, 1,
                            gradient + o * inputs + i, adds);
    }
    weight_gradient_columns(input, output_gradient, rows, inputs, outputs, whole, gradient, adds);
}

CONVOY_WIDE_FUNCTION(convoy_rows_dense_weight_gradient,
                     (const float *input, const float *output_gradient, ptrdiff_t rows,
                      ptrdiff_t inputs, ptrdiff_t outputs, float *gradient, int adds),
                     (input, output_gradient, rows, inputs, outputs, gradient, adds))

void convoy_rows_bias_gradient(const float *output_gradient, ptrdiff_t rows, ptrdiff_t outputs,
                               float *gradient, int adds) {
    for (ptrdiff_t o = 0; o < outputs; o++) {
        float sum = 0;
        for (ptrdiff_t n = 0; n < rows; n++) sum = sum + output_gradient[n * outputs + o];
        gradient[o] = adds ? gradient[o] + sum : sum;
    }
}
