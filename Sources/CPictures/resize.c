#include "picture.h"
#include "resize_rows.h"

#include <stdlib.h>

// Weights are computed as Pillow does for x86-64: in double precision, each operation rounded by
// itself.
#pragma STDC FP_CONTRACT OFF

/// The sides of the result, and what each of their places is made of.
struct side {
    /// Sides of the source and of the whole result.
    int64_t length, new_length;
    /// The places of the result that are computed.
    int64_t first;
    int32_t count;
};

static double box(double x) { return x > -0.5 && x <= 0.5 ? 1.0 : 0.0; }

static double bilinear(double x) {
    if (x < 0) x = -x;
    return x < 1 ? 1 - x : 0;
}

/// Keys's cubic convolution with a = -1/2.
static double bicubic(double x) {
    const double a = -0.5;
    if (x < 0) x = -x;
    if (x < 1) return ((a + 2) * x - (a + 3)) * x * x + 1;
    if (x < 2) return (((x - 5) * x + 8) * x - 4) * a;
    return 0;
}

static double weight_at(int32_t filter, double x) {
    switch (filter) {
    case CONVOY_PICTURE_BOX: return box(x);
    case CONVOY_PICTURE_BILINEAR: return bilinear(x);
    default: return bicubic(x);
    }
}

static double support_of(int32_t filter) {
    return filter == CONVOY_PICTURE_BOX ? 0.5 : filter == CONVOY_PICTURE_BILINEAR ? 1 : 2;
}

/// The extent of the weights of one direction, which are all functions of it and the filter.
struct extent {
    double scale, inverse, support;
    int32_t width;
};

static struct extent extent_of(const struct side *side, int32_t filter) {
    const double scale = (double)side->length / (double)side->new_length;
    const double wide = scale < 1 ? 1 : scale;
    const double support = support_of(filter) * wide;
    const int64_t whole = (int64_t)support;
    const int64_t tap_count = 2 * (whole + ((double)whole < support)) + 1;
    return (struct extent){
        .scale = scale,
        .inverse = 1 / wide,
        .support = support,
        .width = (int32_t)((tap_count + TAP_GROUP - 1) / TAP_GROUP * TAP_GROUP),
    };
}

/// Computes the weights of one place and returns their taps.
static struct convoy_taps weigh(const struct side *side, const struct extent *extent,
                                int32_t filter, int64_t place, double *weights) {
    const double center = ((double)place + 0.5) * extent->scale;
    int64_t first = (int64_t)(center - extent->support + 0.5);
    if (first < 0) first = 0;
    int64_t end = (int64_t)(center + extent->support + 0.5);
    if (end > side->length) end = side->length;
    const int32_t count = (int32_t)(end - first);
    double sum = 0;
    for (int32_t t = 0; t < count; t++) {
        weights[t] = weight_at(filter, ((double)(t + first) - center + 0.5) * extent->inverse);
        sum += weights[t];
    }
    for (int32_t t = 0; t < count && sum != 0; t++) weights[t] /= sum;
    return (struct convoy_taps){.first = (int32_t)first, .count = count};
}

static int32_t whole_weight(double weight) {
    const double scaled = weight * (1 << WEIGHT_BITS);
    return (int32_t)(scaled < 0 ? scaled - 0.5 : scaled + 0.5);
}

static uint32_t pair_of(int32_t first, int32_t second) {
    return ((uint32_t)first & 0xFFFF) | (uint32_t)second << 16;
}

/// Layout of the memory for weights: whole numbers, pairs, and numbers in double precision.
static size_t weight_byte_count(const struct side *side, int32_t width) {
    return (size_t)side->count * (size_t)width * 2 * sizeof(int32_t) +
           (size_t)width * sizeof(double);
}

static bool prepare_side(const struct side *side, int32_t filter, struct convoy_buffer *taps_buffer,
                         struct convoy_buffer *weight_buffer) {
    const struct extent extent = extent_of(side, filter);
    const size_t width = (size_t)extent.width;
    struct convoy_taps *taps =
        convoy_reserve(taps_buffer, (size_t)side->count * sizeof(struct convoy_taps));
    int32_t *whole = convoy_reserve(weight_buffer, weight_byte_count(side, extent.width));
    if (taps == NULL || whole == NULL) return false;
    int32_t *pairs = whole + (size_t)side->count * width;
    double *weights = (double *)(void *)(pairs + (size_t)side->count * width);
    for (int32_t i = 0; i < side->count; i++, whole += width, pairs += width) {
        taps[i] = weigh(side, &extent, filter, side->first + i, weights);
        for (size_t t = 0; t < width; t++) {
            whole[t] = t < (size_t)taps[i].count ? whole_weight(weights[t]) : 0;
        }
        const int32_t low_mask = (1 << LOW_BITS) - 1;
        for (size_t t = 0; t < width; t += 2) {
            const int32_t low = (int32_t)pair_of(whole[t] & low_mask, whole[t + 1] & low_mask);
            const int32_t high = (int32_t)pair_of(whole[t] >> LOW_BITS, whole[t + 1] >> LOW_BITS);
            pairs[t / 2] = low;
            pairs[width / 2 + t / 2] = high;
        }
    }
    return true;
}

/// Notes the source's place for each place of the result. Pillow adds up steps, and a place that
/// ends behind the source is 0.
static bool prepare_nearest(const struct side *side, struct convoy_buffer *taps_buffer) {
    struct convoy_taps *taps =
        convoy_reserve(taps_buffer, (size_t)side->count * sizeof(struct convoy_taps));
    if (taps == NULL) return false;
    const double step = (double)side->length / (double)side->new_length;
    double place = step * 0.5;
    for (int64_t i = 0; i < side->first + side->count; i++) {
        const int64_t from = (int64_t)place;
        if (i >= side->first) {
            taps[i - side->first] = (struct convoy_taps){
                .first = (int32_t)from,
                .count = from < side->length,
            };
        }
        place += step;
    }
    return true;
}

static struct side columns_of(const struct convoy_resize *resize) {
    return (struct side){resize->width, resize->new_width, resize->first_column,
                         resize->column_count};
}

static struct side rows_of(const struct convoy_resize *resize) {
    return (struct side){resize->height, resize->new_height, resize->first_row, resize->row_count};
}

static bool keeps(const struct side *side) { return side->length == side->new_length; }

static struct convoy_weights weights_of(const struct side *side, int32_t filter,
                                        const struct convoy_buffer *taps,
                                        const struct convoy_buffer *weights) {
    const int32_t width = extent_of(side, filter).width;
    const int32_t *whole = (const int32_t *)(const void *)weights->bytes;
    return (struct convoy_weights){
        .taps = (const struct convoy_taps *)(const void *)taps->bytes,
        .whole = whole,
        .pairs = whole + (size_t)side->count * (size_t)width,
        .width = width,
    };
}

/// Pillow 13 runs the vertical pass first where that saves much; earlier versions never do. The two
/// orders differ by a level here and there, for the first pass rounds to bytes.
static bool is_vertical_first(const struct side *columns, const struct side *rows) {
    const int64_t fewer_rows = rows->length - rows->new_length;
    return fewer_rows > 0 && fewer_rows > 2 * (columns->length - columns->new_length);
}

/// The rows of the source that the window needs.
struct rows {
    size_t first, count;
};

static struct rows rows_needed(const convoy_picture_scratch *scratch, const struct side *rows) {
    if (keeps(rows)) return (struct rows){(size_t)rows->first, (size_t)rows->count};
    const struct convoy_taps *taps = (const struct convoy_taps *)(const void *)scratch->lines.bytes;
    const struct convoy_taps last = taps[rows->count - 1];
    const size_t first = (size_t)taps[0].first;
    return (struct rows){first, (size_t)last.first + (size_t)last.count - first};
}

int convoy_resize_prepare(convoy_picture_scratch *scratch, const struct convoy_resize *resize,
                          struct convoy_picture_failure *failure) {
    const struct side columns = columns_of(resize), rows = rows_of(resize);
    const bool is_nearest = resize->filter == CONVOY_PICTURE_NEAREST;
    bool has_memory = true;
    if (is_nearest) {
        has_memory = prepare_nearest(&columns, &scratch->columns) &&
                     prepare_nearest(&rows, &scratch->lines);
    } else {
        if (!keeps(&columns)) {
            has_memory = prepare_side(&columns, resize->filter, &scratch->columns,
                                      &scratch->column_weights);
        }
        if (has_memory && !keeps(&rows)) {
            has_memory =
                prepare_side(&rows, resize->filter, &scratch->lines, &scratch->line_weights);
        }
    }
    const size_t channels = (size_t)resize->channels;
    if (has_memory && !is_nearest && !keeps(&columns)) {
        const size_t line = (size_t)resize->width * channels + ROW_SLACK;
        has_memory = convoy_reserve(&scratch->line, ROW_GROUP * line) != NULL;
        if (has_memory && !keeps(&rows)) {
            const size_t byte_count =
                is_vertical_first(&columns, &rows)
                    ? (size_t)resize->width * channels * (size_t)resize->row_count
                    : (size_t)resize->column_count * channels * rows_needed(scratch, &rows).count;
            has_memory = convoy_reserve(&scratch->middle, byte_count) != NULL;
        }
    }
    if (has_memory) return CONVOY_PICTURE_FINE;
    return convoy_fail(failure, CONVOY_PICTURE_NO_MEMORY, -1, "memory to resize the picture",
                       "none");
}

struct functions {
    convoy_horizontal *grey, *rgb;
    convoy_vertical *vertical;
};

static struct functions functions(void) {
#ifdef CONVOY_PICTURES_AVX2
    if (__builtin_cpu_supports("avx2")) {
        return (struct functions){convoy_horizontal_grey_avx2, convoy_horizontal_rgb_avx2,
                                  convoy_vertical_row_avx2};
    }
#endif
    return (struct functions){convoy_horizontal_grey, convoy_horizontal_rgb, convoy_vertical_row};
}

/// Pixels in memory: their first row, the first byte behind what may be read, and the distance of
/// rows.
struct pixels {
    const uint8_t *begin, *end;
    size_t stride;
};

/// Resizes rows horizontally. A row that ends too near to the end of memory is copied first, for
/// the functions read a few bytes beyond it.
static void run_horizontally(convoy_picture_scratch *scratch, const struct convoy_resize *resize,
                             struct pixels from, size_t row_count, uint8_t *out,
                             size_t out_stride) {
    const struct functions chosen = functions();
    convoy_horizontal *function = resize->channels == 1 ? chosen.grey : chosen.rgb;
    const struct side columns = columns_of(resize);
    const struct convoy_weights weights =
        weights_of(&columns, resize->filter, &scratch->columns, &scratch->column_weights);
    const size_t length = (size_t)resize->width * (size_t)resize->channels;
    for (size_t first = 0; first < row_count; first += ROW_GROUP) {
        const uint8_t *rows[ROW_GROUP];
        uint8_t *outs[ROW_GROUP];
        for (size_t r = 0; r < ROW_GROUP; r++) {
            const size_t row = first + r < row_count ? first + r : row_count - 1;
            rows[r] = from.begin + row * from.stride;
            outs[r] = out + row * out_stride;
            if ((size_t)(from.end - rows[r]) < length + ROW_SLACK) {
                uint8_t *copy = scratch->line.bytes + r * (length + ROW_SLACK);
                memcpy(copy, rows[r], length);
                memset(copy + length, 0, ROW_SLACK);
                rows[r] = copy;
            }
        }
        function(rows, outs, &weights, resize->column_count);
    }
}

/// Resizes rows of `byte_count` bytes vertically. `first` is the number of the first of `from` in
/// the source.
static void run_vertically(const convoy_picture_scratch *scratch,
                           const struct convoy_resize *resize, struct pixels from, size_t first,
                           size_t byte_count, uint8_t *out, size_t out_stride) {
    const struct side rows = rows_of(resize);
    const struct convoy_weights weights =
        weights_of(&rows, resize->filter, &scratch->lines, &scratch->line_weights);
    convoy_vertical *function = functions().vertical;
    for (int32_t y = 0; y < resize->row_count; y++) {
        const size_t row = (size_t)weights.taps[y].first - first;
        function(from.begin + row * from.stride, from.stride, out + (size_t)y * out_stride,
                 byte_count, &weights, y);
    }
}

static void run_nearest(const convoy_picture_scratch *scratch, const struct convoy_resize *resize,
                        uint8_t *destination, size_t stride) {
    const struct convoy_taps *columns =
        (const struct convoy_taps *)(const void *)scratch->columns.bytes;
    const struct convoy_taps *rows = (const struct convoy_taps *)(const void *)scratch->lines.bytes;
    const size_t channels = (size_t)resize->channels;
    for (int32_t y = 0; y < resize->row_count; y++, destination += stride) {
        if (rows[y].count == 0) {
            memset(destination, 0, (size_t)resize->column_count * channels);
            continue;
        }
        const uint8_t *row = resize->source + (size_t)rows[y].first * resize->stride;
        for (int32_t x = 0; x < resize->column_count; x++) {
            for (size_t c = 0; c < channels; c++) {
                destination[(size_t)x * channels + c] =
                    columns[x].count == 0 ? 0 : row[(size_t)columns[x].first * channels + c];
            }
        }
    }
}

void convoy_resize_run(convoy_picture_scratch *scratch, const struct convoy_resize *resize,
                       uint8_t *destination, size_t stride) {
    const struct side columns = columns_of(resize), rows = rows_of(resize);
    const size_t channels = (size_t)resize->channels;
    const size_t length = (size_t)resize->column_count * channels;
    if (keeps(&columns) && keeps(&rows)) {
        const uint8_t *from = resize->source + (size_t)rows.first * resize->stride +
                              (size_t)columns.first * channels;
        for (int32_t y = 0; y < resize->row_count; y++) {
            memcpy(destination + (size_t)y * stride, from + (size_t)y * resize->stride, length);
        }
        return;
    }
    if (resize->filter == CONVOY_PICTURE_NEAREST) {
        run_nearest(scratch, resize, destination, stride);
        return;
    }
    const struct rows needed = rows_needed(scratch, &rows);
    const struct pixels source = {resize->source + needed.first * resize->stride, resize->end,
                                  resize->stride};
    if (keeps(&rows)) {
        run_horizontally(scratch, resize, source, needed.count, destination, stride);
    } else if (keeps(&columns)) {
        const struct pixels window = {source.begin + (size_t)columns.first * channels, source.end,
                                      source.stride};
        run_vertically(scratch, resize, window, needed.first, length, destination, stride);
    } else if (is_vertical_first(&columns, &rows)) {
        const size_t width = (size_t)resize->width * channels;
        uint8_t *middle = scratch->middle.bytes;
        const size_t count = (size_t)resize->row_count;
        run_vertically(scratch, resize, source, needed.first, width, middle, width);
        const struct pixels lines = {middle, middle + count * width, width};
        run_horizontally(scratch, resize, lines, count, destination, stride);
    } else {
        uint8_t *middle = scratch->middle.bytes;
        run_horizontally(scratch, resize, source, needed.count, middle, length);
        const struct pixels lines = {middle, middle + needed.count * length, length};
        run_vertically(scratch, resize, lines, needed.first, length, destination, stride);
    }
}
