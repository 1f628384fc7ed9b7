#include "convoy_kernels.h"
#include "dispatch.h"

#pragma STDC FP_CONTRACT OFF

CONVOY_CLONES
static void sgd_plain(float *new_weights, const float *weights, const float *gradient_sum,
                      ptrdiff_t count, convoy_sgd_step s) {
    CONVOY_ELEMENTWISE
    for (ptrdiff_t i = 0; i < count; i++) {
        float gradient = gradient_sum[i] / s.sample_count + s.weight_decay * weights[i];
        new_weights[i] = weights[i] - s.learning_rate * gradient;
    }
}

CONVOY_CLONES
static void sgd_momentum(float *new_weights, const float *weights, const float *gradient_sum,
                         float *momentum_buffer, ptrdiff_t count, convoy_sgd_step s) {
    CONVOY_ELEMENTWISE
    for (ptrdiff_t i = 0; i < count; i++) {
        float gradient = gradient_sum[i] / s.sample_count + s.weight_decay * weights[i];
        float velocity = s.momentum * momentum_buffer[i] + gradient;
        momentum_buffer[i] = velocity;
        new_weights[i] = weights[i] - s.learning_rate * velocity;
    }
}

CONVOY_CLONES
static void sgd_nesterov(float *new_weights, const float *weights, const float *gradient_sum,
                         float *momentum_buffer, ptrdiff_t count, convoy_sgd_step s) {
    CONVOY_ELEMENTWISE
    for (ptrdiff_t i = 0; i < count; i++) {
        float gradient = gradient_sum[i] / s.sample_count + s.weight_decay * weights[i];
        float velocity = s.momentum * momentum_buffer[i] + gradient;
        momentum_buffer[i] = velocity;
        new_weights[i] = weights[i] - s.learning_rate * (gradient + s.momentum * velocity);
    }
}

void convoy_sgd(float *new_weights, const float *weights, const float *gradient_sum,
                float *momentum_buffer, ptrdiff_t count, const convoy_sgd_step *step) {
    if (!momentum_buffer) {
        sgd_plain(new_weights, weights, gradient_sum, count, *step);
    } else if (step->nesterov) {
        sgd_nesterov(new_weights, weights, gradient_sum, momentum_buffer, count, *step);
    } else {
        sgd_momentum(new_weights, weights, gradient_sum, momentum_buffer, count, *step);
    }
}

CONVOY_CLONES
static void adam(float *new_weights, const float *weights, const float *gradient_sum,
                 float *first_moment, float *second_moment, ptrdiff_t count, convoy_adam_step s) {
    CONVOY_ELEMENTWISE
    for (ptrdiff_t i = 0; i < count; i++) {
        float gradient = gradient_sum[i] / s.sample_count + s.weight_decay * weights[i];
        float m = s.beta1 * first_moment[i] + s.one_minus_beta1 * gradient;
        float v = s.beta2 * second_moment[i] + s.one_minus_beta2 * (gradient * gradient);
        first_moment[i] = m;
        second_moment[i] = v;
        float denominator = convoy_sqrt(v) / s.root_correction2 + s.epsilon;
        new_weights[i] = s.weight_factor * weights[i] - s.step_size * (m / denominator);
    }
}

void convoy_adam(float *new_weights, const float *weights, const float *gradient_sum,
                 float *first_moment, float *second_moment, ptrdiff_t count,
                 const convoy_adam_step *step) {
    adam(new_weights, weights, gradient_sum, first_moment, second_moment, count, *step);
}
