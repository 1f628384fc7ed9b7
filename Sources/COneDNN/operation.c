// Operations and calls.

#include <stdlib.h>
#include <string.h>

#include "internal.h"

// Creates the attributes of a primitive: the caller provides the scratchpad, and with `relu` a ReLU
// is fused.
static int make_attributes(dnnl_primitive_attr_t *attributes, int relu) {
    int status = convoy_dnnl_check(dnnl_primitive_attr_create(attributes), "making attributes");
    if (status) return status;
    dnnl_primitive_attr_set_scratchpad_mode(*attributes, dnnl_scratchpad_mode_user);
    if (!relu) return 0;
    dnnl_post_ops_t post_operations = NULL;
    status = convoy_dnnl_check(dnnl_post_ops_create(&post_operations), "making post-operations");
    if (!status) {
#if CONVOY_DNNL_V3
        dnnl_post_ops_append_eltwise(post_operations, dnnl_eltwise_relu, 0.0f, 0.0f);
#else
        dnnl_post_ops_append_eltwise(post_operations, 1.0f, dnnl_eltwise_relu, 0.0f, 0.0f);
#endif
        status = convoy_dnnl_check(dnnl_primitive_attr_set_post_ops(*attributes, post_operations),
                                   "fusing a ReLU");
        dnnl_post_ops_destroy(post_operations);
    }
    return status;
}

// Creates the primitive, and takes over `descriptor` even when that fails.
static int finish(convoy_dnnl_operation **operation, dnnl_primitive_desc_t descriptor,
                  int is_reorder) {
    convoy_dnnl_operation *new = calloc(1, sizeof *new);
    if (!new) {
        dnnl_primitive_desc_destroy(descriptor);
        return convoy_dnnl_fail(-1, "out of memory for an operation");
    }
    new->descriptor = descriptor;
    new->is_reorder = is_reorder;
    int status = convoy_dnnl_check(dnnl_primitive_create(&new->primitive, descriptor),
                                   "making a primitive");
    if (status) {
        convoy_dnnl_operation_destroy(new);
        return status;
    }
    *operation = new;
    return 0;
}

static dnnl_prop_kind_t propagation(convoy_dnnl_direction direction) {
    return direction == convoy_dnnl_forward_inference ? dnnl_forward_inference
                                                      : dnnl_forward_training;
}

static dnnl_status_t describe_convolution(dnnl_primitive_desc_t *descriptor, dnnl_engine_t engine,
                                          convoy_dnnl_direction direction,
                                          convoy_descriptor source, convoy_descriptor weights,
                                          convoy_descriptor bias, convoy_descriptor destination,
                                          const convoy_dnnl_window *window,
                                          const_dnnl_primitive_desc_t hint,
                                          dnnl_primitive_attr_t attributes) {
    const dnnl_alg_kind_t algorithm = dnnl_convolution_direct;
    const dnnl_dims_t strides = {window->stride[0], window->stride[1]};
    const dnnl_dims_t before = {window->padding_before[0], window->padding_before[1]};
    const dnnl_dims_t after = {window->padding_after[0], window->padding_after[1]};
#if CONVOY_DNNL_V3
    const dnnl_dims_t dilations = {0, 0};
    switch (direction) {
        case convoy_dnnl_backward_data:
            return dnnl_convolution_backward_data_primitive_desc_create(
                descriptor, engine, algorithm, source, weights, destination, strides, dilations,
                before, after, hint, attributes);
        case convoy_dnnl_backward_weights:
            return dnnl_convolution_backward_weights_primitive_desc_create(
                descriptor, engine, algorithm, source, weights, bias, destination, strides,
                dilations, before, after, hint, attributes);
        default:
            return dnnl_convolution_forward_primitive_desc_create(
                descriptor, engine, propagation(direction), algorithm, source, weights, bias,
                destination, strides, dilations, before, after, attributes);
    }
#else
    dnnl_convolution_desc_t operation;
    dnnl_status_t status;
    switch (direction) {
        case convoy_dnnl_backward_data:
            status = dnnl_convolution_backward_data_desc_init(
                &operation, algorithm, source, weights, destination, strides, before, after);
            break;
        case convoy_dnnl_backward_weights:
            status = dnnl_convolution_backward_weights_desc_init(
                &operation, algorithm, source, weights, bias, destination, strides, before, after);
            break;
        default:
            status = dnnl_convolution_forward_desc_init(&operation, propagation(direction),
                                                        algorithm, source, weights, bias,
                                                        destination, strides, before, after);
            break;
    }
    if (status != dnnl_success) return status;
    return dnnl_primitive_desc_create(descriptor, &operation, attributes, engine, hint);
#endif
}

static dnnl_status_t describe_inner_product(dnnl_primitive_desc_t *descriptor, dnnl_engine_t engine,
                                            convoy_dnnl_direction direction,
                                            convoy_descriptor source, convoy_descriptor weights,
                                            convoy_descriptor bias, convoy_descriptor destination,
                                            const_dnnl_primitive_desc_t hint,
                                            dnnl_primitive_attr_t attributes) {
#if CONVOY_DNNL_V3
    switch (direction) {
        case convoy_dnnl_backward_data:
            return dnnl_inner_product_backward_data_primitive_desc_create(
                descriptor, engine, source, weights, destination, hint, attributes);
        case convoy_dnnl_backward_weights:
            return dnnl_inner_product_backward_weights_primitive_desc_create(
                descriptor, engine, source, weights, bias, destination, hint, attributes);
        default:
            return dnnl_inner_product_forward_primitive_desc_create(
                descriptor, engine, propagation(direction), source, weights, bias, destination,
                attributes);
    }
#else
    dnnl_inner_product_desc_t operation;
    dnnl_status_t status;
    switch (direction) {
        case convoy_dnnl_backward_data:
            status = dnnl_inner_product_backward_data_desc_init(&operation, source, weights,
                                                                destination);
            break;
        case convoy_dnnl_backward_weights:
            status = dnnl_inner_product_backward_weights_desc_init(&operation, source, weights,
                                                                   bias, destination);
            break;
        default:
            status = dnnl_inner_product_forward_desc_init(&operation, propagation(direction),
                                                          source, weights, bias, destination);
            break;
    }
    if (status != dnnl_success) return status;
    return dnnl_primitive_desc_create(descriptor, &operation, attributes, engine, hint);
#endif
}

int convoy_dnnl_convolution_create(convoy_dnnl_operation **operation, convoy_dnnl_context *context,
                                   convoy_dnnl_direction direction,
                                   const convoy_dnnl_layout *source,
                                   const convoy_dnnl_layout *weights,
                                   const convoy_dnnl_layout *bias,
                                   const convoy_dnnl_layout *destination,
                                   const convoy_dnnl_window *window, int relu,
                                   const convoy_dnnl_operation *forward) {
    *operation = NULL;
    dnnl_primitive_attr_t attributes = NULL;
    int status = make_attributes(&attributes, relu);
    dnnl_primitive_desc_t descriptor = NULL;
    if (!status)
        status = convoy_dnnl_check(
            describe_convolution(&descriptor, context->engine, direction,
                                 convoy_get_descriptor(source), convoy_get_descriptor(weights),
                                 convoy_get_descriptor(bias), convoy_get_descriptor(destination),
                                 window, forward ? forward->descriptor : NULL, attributes),
            "choosing a convolution");
    if (attributes) dnnl_primitive_attr_destroy(attributes);
    return status ? status : finish(operation, descriptor, 0);
}

int convoy_dnnl_inner_product_create(convoy_dnnl_operation **operation,
                                     convoy_dnnl_context *context,
                                     convoy_dnnl_direction direction,
                                     const convoy_dnnl_layout *source,
                                     const convoy_dnnl_layout *weights,
                                     const convoy_dnnl_layout *bias,
                                     const convoy_dnnl_layout *destination, int relu,
                                     const convoy_dnnl_operation *forward) {
    *operation = NULL;
    dnnl_primitive_attr_t attributes = NULL;
    int status = make_attributes(&attributes, relu);
    dnnl_primitive_desc_t descriptor = NULL;
    if (!status)
        status = convoy_dnnl_check(
            describe_inner_product(&descriptor, context->engine, direction,
                                   convoy_get_descriptor(source), convoy_get_descriptor(weights),
                                   convoy_get_descriptor(bias), convoy_get_descriptor(destination),
                                   forward ? forward->descriptor : NULL, attributes),
            "choosing an inner product");
    if (attributes) dnnl_primitive_attr_destroy(attributes);
    return status ? status : finish(operation, descriptor, 0);
}

int convoy_dnnl_reorder_create(convoy_dnnl_operation **operation, convoy_dnnl_context *context,
                               const convoy_dnnl_layout *source,
                               const convoy_dnnl_layout *destination) {
    *operation = NULL;
    dnnl_primitive_attr_t attributes = NULL;
    int status = make_attributes(&attributes, 0);
    dnnl_primitive_desc_t descriptor = NULL;
    if (!status)
        status = convoy_dnnl_check(
            dnnl_reorder_primitive_desc_create(
                &descriptor, convoy_get_descriptor(source), context->engine,
                convoy_get_descriptor(destination), context->engine, attributes),
            "choosing a reorder");
    if (attributes) dnnl_primitive_attr_destroy(attributes);
    return status ? status : finish(operation, descriptor, 1);
}

void convoy_dnnl_operation_destroy(convoy_dnnl_operation *operation) {
    if (!operation) return;
    if (operation->primitive) dnnl_primitive_destroy(operation->primitive);
    if (operation->descriptor) dnnl_primitive_desc_destroy(operation->descriptor);
    free(operation);
}

static int argument_number(convoy_dnnl_argument argument, int is_reorder) {
    switch (argument) {
        case convoy_dnnl_argument_source: return is_reorder ? DNNL_ARG_FROM : DNNL_ARG_SRC;
        case convoy_dnnl_argument_destination: return is_reorder ? DNNL_ARG_TO : DNNL_ARG_DST;
        case convoy_dnnl_argument_weights: return DNNL_ARG_WEIGHTS;
        case convoy_dnnl_argument_bias: return DNNL_ARG_BIAS;
        case convoy_dnnl_argument_source_gradient: return DNNL_ARG_DIFF_SRC;
        case convoy_dnnl_argument_destination_gradient: return DNNL_ARG_DIFF_DST;
        case convoy_dnnl_argument_weights_gradient: return DNNL_ARG_DIFF_WEIGHTS;
        case convoy_dnnl_argument_bias_gradient: return DNNL_ARG_DIFF_BIAS;
        default: return DNNL_ARG_SCRATCHPAD;
    }
}

int convoy_dnnl_operation_layout(const convoy_dnnl_operation *operation,
                                 convoy_dnnl_argument argument, convoy_dnnl_layout **layout) {
    *layout = NULL;
    convoy_descriptor descriptor =
        dnnl_primitive_desc_query_md(operation->descriptor, dnnl_query_exec_arg_md,
                                     argument_number(argument, operation->is_reorder));
    if (!descriptor)
        return convoy_dnnl_fail(-1, "oneDNN: an operation has no argument %d", (int)argument);
    return convoy_dnnl_layout_copy(layout, descriptor);
}

const char *convoy_dnnl_operation_implementation(const convoy_dnnl_operation *operation) {
    const char *name = NULL;
    if (dnnl_primitive_desc_query(operation->descriptor, dnnl_query_impl_info_str, 0, &name) !=
            dnnl_success ||
        !name)
        return "unknown";
    return name;
}

// Calls -------------------------------------------------------------------------------------------

int convoy_dnnl_call_create(convoy_dnnl_call **call, const convoy_dnnl_operation *operation) {
    convoy_dnnl_call *new = calloc(1, sizeof *new);
    *call = new;
    if (!new) return convoy_dnnl_fail(-1, "out of memory for a call");
    new->primitive = operation->primitive;
    new->is_reorder = operation->is_reorder;
    return 0;
}

void convoy_dnnl_call_bind(convoy_dnnl_call *call, convoy_dnnl_argument argument,
                           const convoy_dnnl_memory *memory) {
    int number = argument_number(argument, call->is_reorder);
    int index = 0;
    while (index < call->argument_count && call->arguments[index].arg != number) index++;
    if (index == convoy_dnnl_argument_count) return;  // never happens: there are no more arguments
    call->arguments[index].arg = number;
    call->arguments[index].memory = memory->memory;
    if (index == call->argument_count) call->argument_count++;
}

int convoy_dnnl_call_run(const convoy_dnnl_call *call, convoy_dnnl_context *context) {
    dnnl_status_t status = dnnl_primitive_execute(call->primitive, context->stream,
                                                  call->argument_count, call->arguments);
    if (status == dnnl_success) status = dnnl_stream_wait(context->stream);
    return convoy_dnnl_check(status, "running a primitive");
}

void convoy_dnnl_call_destroy(convoy_dnnl_call *call) { free(call); }
