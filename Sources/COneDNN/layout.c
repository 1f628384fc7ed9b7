// Layouts and memories.

#include <stdlib.h>
#include <string.h>

#include "internal.h"

static dnnl_data_type_t element_type(convoy_dnnl_type type) {
    return type == convoy_dnnl_type_bfloat16 ? dnnl_bf16 : dnnl_f32;
}

static dnnl_format_tag_t row_major(int rank) {
    switch (rank) {
        case 1: return dnnl_a;
        case 2: return dnnl_ab;
        case 3: return dnnl_abc;
        case 4: return dnnl_abcd;
        case 5: return dnnl_abcde;
        default: return dnnl_format_tag_undef;
    }
}

static dnnl_format_tag_t format_tag(convoy_dnnl_order order, int rank) {
    if (order == convoy_dnnl_order_any) return dnnl_format_tag_any;
    if (order == convoy_dnnl_order_row_major) return row_major(rank);
    if (rank != 4) return dnnl_format_tag_undef;
    switch (order) {
        case convoy_dnnl_order_channels_last: return dnnl_nhwc;
        case convoy_dnnl_order_blocked_4: return dnnl_nChw4c;
        case convoy_dnnl_order_blocked_8: return dnnl_nChw8c;
        case convoy_dnnl_order_blocked_16: return dnnl_nChw16c;
        default: return dnnl_format_tag_undef;
    }
}

int convoy_dnnl_layout_create(convoy_dnnl_layout **layout, convoy_dnnl_type type, int rank,
                              const int64_t *dimensions, convoy_dnnl_order order) {
    *layout = NULL;
    if (rank < 1 || rank > CONVOY_DNNL_MAX_RANK)
        return convoy_dnnl_fail(-1, "a layout of rank %d, expected 1...%d", rank,
                                CONVOY_DNNL_MAX_RANK);
    convoy_dnnl_layout *new = calloc(1, sizeof *new);
    if (!new) return convoy_dnnl_fail(-1, "out of memory for a layout");
    dnnl_format_tag_t tag = format_tag(order, rank);
    dnnl_dims_t dims = {0};
    memcpy(dims, dimensions, (size_t)rank * sizeof dims[0]);
#if CONVOY_DNNL_V3
    dnnl_status_t status =
        dnnl_memory_desc_create_with_tag(&new->descriptor, rank, dims, element_type(type), tag);
#else
    dnnl_status_t status =
        dnnl_memory_desc_init_by_tag(&new->descriptor, rank, dims, element_type(type), tag);
#endif
    if (status != dnnl_success) {
        free(new);
        return convoy_dnnl_check(status, "describing a memory");
    }
    *layout = new;
    return 0;
}

int convoy_dnnl_layout_copy(convoy_dnnl_layout **layout, convoy_descriptor descriptor) {
    *layout = NULL;
    convoy_dnnl_layout *new = calloc(1, sizeof *new);
    if (!new) return convoy_dnnl_fail(-1, "out of memory for a layout");
#if CONVOY_DNNL_V3
    dnnl_status_t status = dnnl_memory_desc_clone(&new->descriptor, descriptor);
    if (status != dnnl_success) {
        free(new);
        return convoy_dnnl_check(status, "copying a memory description");
    }
#else
    new->descriptor = *descriptor;
#endif
    *layout = new;
    return 0;
}

void convoy_dnnl_layout_destroy(convoy_dnnl_layout *layout) {
    if (!layout) return;
#if CONVOY_DNNL_V3
    dnnl_memory_desc_destroy(layout->descriptor);
#endif
    free(layout);
}

int convoy_dnnl_layout_equal(const convoy_dnnl_layout *a, const convoy_dnnl_layout *b) {
    return dnnl_memory_desc_equal(convoy_get_descriptor(a), convoy_get_descriptor(b));
}

// The content of a blocked descriptor, in one form for both versions of oneDNN.
typedef struct {
    int rank;
    const int64_t *dimensions;
    const int64_t *padded_dimensions;
    const int64_t *strides;
    int block_count;
    const int64_t *blocks;
    const int64_t *block_dimensions;
    int is_blocked;
} description;

#if CONVOY_DNNL_V3
static description describe(const convoy_dnnl_layout *layout) {
    description d = {0};
    dnnl_memory_desc_t md = layout->descriptor;
    dnnl_format_kind_t kind = dnnl_format_kind_undef;
    const dnnl_dims_t *dims = NULL;
    dnnl_memory_desc_query(md, dnnl_query_format_kind, &kind);
    dnnl_memory_desc_query(md, dnnl_query_ndims_s32, &d.rank);
    if (dnnl_memory_desc_query(md, dnnl_query_dims, &dims) == dnnl_success && dims)
        d.dimensions = *dims;
    dims = NULL;
    if (dnnl_memory_desc_query(md, dnnl_query_padded_dims, &dims) == dnnl_success && dims)
        d.padded_dimensions = *dims;
    if (kind != dnnl_blocked) return d;
    dims = NULL;
    if (dnnl_memory_desc_query(md, dnnl_query_strides, &dims) != dnnl_success || !dims) return d;
    d.strides = *dims;
    dnnl_memory_desc_query(md, dnnl_query_inner_nblks_s32, &d.block_count);
    if (d.block_count > 0) {
        const dnnl_dims_t *indices = NULL;
        dims = NULL;
        if (dnnl_memory_desc_query(md, dnnl_query_inner_blks, &dims) != dnnl_success || !dims ||
            dnnl_memory_desc_query(md, dnnl_query_inner_idxs, &indices) != dnnl_success || !indices)
            return d;
        d.blocks = *dims;
        d.block_dimensions = *indices;
    }
    d.is_blocked = 1;
    return d;
}
#else
static description describe(const convoy_dnnl_layout *layout) {
    const dnnl_memory_desc_t *md = &layout->descriptor;
    description d = {.rank = md->ndims,
                     .dimensions = md->dims,
                     .padded_dimensions = md->padded_dims,
                     .strides = md->format_desc.blocking.strides,
                     .block_count = md->format_desc.blocking.inner_nblks,
                     .blocks = md->format_desc.blocking.inner_blks,
                     .block_dimensions = md->format_desc.blocking.inner_idxs,
                     .is_blocked = md->format_kind == dnnl_blocked};
    return d;
}
#endif

// Returns whether the strides are those of [N, C/b, H, W, b], or with `channels_last` those of
// [N, H, W, C]. The stride of a dimension of 1 has no effect and may be anything.
static int has_strides(const description *d, int64_t channel_block, int channels_last) {
    int64_t expected[4];
    const int64_t *p = d->padded_dimensions;
    if (channels_last) {
        expected[1] = 1;
        expected[3] = p[1];
        expected[2] = p[3] * expected[3];
        expected[0] = p[2] * expected[2];
    } else {
        expected[3] = channel_block;
        expected[2] = p[3] * expected[3];
        expected[1] = p[2] * expected[2];
        expected[0] = p[1] / channel_block * expected[1];
    }
    for (int i = 0; i < 4; i++) {
        int64_t extent = i == 1 ? p[1] / channel_block : p[i];
        if (channels_last && i == 1) extent = p[1];
        if (extent > 1 && d->strides[i] != expected[i]) return 0;
    }
    return 1;
}

static int64_t channel_block(const description *d) {
    if (!d->is_blocked || !d->dimensions || !d->padded_dimensions) return 0;
    if (d->rank == 2)
        return d->block_count == 0 && d->strides[1] == 1 && d->strides[0] == d->dimensions[1];
    if (d->rank != 4) return 0;
    if (d->padded_dimensions[0] != d->dimensions[0]) return 0;
    if (d->block_count == 0) {
        if (has_strides(d, 1, 0)) return 1;
        if (has_strides(d, 1, 1)) return d->padded_dimensions[1];
        return 0;
    }
    if (d->block_count == 1 && d->block_dimensions[0] == 1 && has_strides(d, d->blocks[0], 0))
        return d->blocks[0];
    return 0;
}

void convoy_dnnl_layout_describe(const convoy_dnnl_layout *layout, convoy_dnnl_layout_info *info) {
    memset(info, 0, sizeof *info);
    description d = describe(layout);
    info->rank = d.rank;
    for (int i = 0; i < d.rank && i < CONVOY_DNNL_MAX_RANK; i++) {
        info->dimensions[i] = d.dimensions ? d.dimensions[i] : 0;
        info->padded_dimensions[i] = d.padded_dimensions ? d.padded_dimensions[i] : 0;
    }
    info->byte_count = d.rank == 0 ? 0 : dnnl_memory_desc_get_size(convoy_get_descriptor(layout));
    info->channel_block = channel_block(&d);
}

// Memories ----------------------------------------------------------------------------------------

int convoy_dnnl_memory_create(convoy_dnnl_memory **memory, convoy_dnnl_context *context,
                              const convoy_dnnl_layout *layout, void *bytes) {
    *memory = NULL;
    convoy_dnnl_memory *new = calloc(1, sizeof *new);
    if (!new) return convoy_dnnl_fail(-1, "out of memory for a memory object");
    dnnl_status_t status = dnnl_memory_create(&new->memory, convoy_get_descriptor(layout),
                                              context->engine, bytes);
    if (status != dnnl_success) {
        free(new);
        return convoy_dnnl_check(status, "making a memory object");
    }
    *memory = new;
    return 0;
}

int convoy_dnnl_memory_set_bytes(convoy_dnnl_memory *memory, void *bytes) {
    return convoy_dnnl_check(dnnl_memory_set_data_handle(memory->memory, bytes),
                             "pointing a memory object at other bytes");
}

void convoy_dnnl_memory_destroy(convoy_dnnl_memory *memory) {
    if (!memory) return;
    dnnl_memory_destroy(memory->memory);
    free(memory);
}
