#include "picture.h"

#include <setjmp.h>
#include <stdlib.h>

#include <png.h>

/// What deflate can make of a byte at most.
#define MOST_EXPANSION 1032

/// The colours of a file and how its rows become bytes.
struct layout {
    int type, bit_depth;
    size_t width;
    int32_t channels, alpha, sixteen_bit;
    /// Colour and alpha for each index.
    uint8_t palette[256][4];
    bool has_transparent_colour;
    uint16_t transparent[3];
};

struct reader {
    png_structp png;
    png_infop info;
    jmp_buf escape;
    struct convoy_source source;
    size_t place;
    struct convoy_picture_facts *facts;
    struct convoy_picture_failure *failure;
    /// For decoding only.
    const struct convoy_picture_options *options;
    convoy_picture_scratch *scratch;
    struct layout layout;
};

__attribute__((noreturn)) static void escape(struct reader *reader) {
    longjmp(reader->escape, 1);
}

__attribute__((noreturn)) static void fail_as_libpng_says(png_structp png, const char *text) {
    struct reader *reader = png_get_error_ptr(png);
    convoy_fail(reader->failure, CONVOY_PICTURE_DAMAGED, (int64_t)reader->place, "a whole PNG",
                "%s", text);
    convoy_advise(reader->failure, "get the file again, or leave it out");
    escape(reader);
}

static void ignore_warning(png_structp png, const char *text) {
    (void)png;
    (void)text;
}

__attribute__((noreturn)) static void fail_at_end(struct reader *reader) {
    const int64_t end = (int64_t)reader->source.byte_count;
    convoy_fail(reader->failure, CONVOY_PICTURE_TRUNCATED, end, "a PNG with its IEND chunk",
                "a file that ends after %lld bytes, within the picture", (long long)end);
    convoy_advise(reader->failure, "get the file again, or leave it out");
    escape(reader);
}

static void read_bytes(png_structp png, png_bytep out, size_t count) {
    struct reader *reader = png_get_io_ptr(png);
    if (count > reader->source.byte_count - reader->place) fail_at_end(reader);
    memcpy(out, reader->source.bytes + reader->place, count);
    reader->place += count;
}

static uint32_t big_endian(const uint8_t *bytes) {
    return (uint32_t)bytes[0] << 24 | (uint32_t)bytes[1] << 16 | (uint32_t)bytes[2] << 8 | bytes[3];
}

/// Walks over the chunks to the first eXIf, which may stand before or behind the pixels.
static int32_t orientation(struct convoy_source source) {
    size_t place = 8;
    while (source.byte_count >= 12 && place <= source.byte_count - 12) {
        const size_t length = big_endian(source.bytes + place);
        if (length > source.byte_count - place - 12) break;
        if (memcmp(source.bytes + place + 4, "eXIf", 4) == 0) {
            return convoy_exif_orientation(source.bytes + place + 8, length);
        }
        place += length + 12;
    }
    return 1;
}

static void read_header(struct reader *reader) {
    reader->png = png_create_read_struct(PNG_LIBPNG_VER_STRING, reader, fail_as_libpng_says,
                                         ignore_warning);
    if (reader->png != NULL) reader->info = png_create_info_struct(reader->png);
    if (reader->info == NULL) {
        convoy_fail(reader->failure, CONVOY_PICTURE_NO_MEMORY, -1, "memory to read the PNG",
                    "none");
        escape(reader);
    }
    png_structp png = reader->png;
    png_set_read_fn(png, reader, read_bytes);
    png_set_user_limits(png, PNG_UINT_31_MAX, PNG_UINT_31_MAX);
    png_set_crc_action(png, PNG_CRC_ERROR_QUIT, PNG_CRC_ERROR_QUIT);
    // Nothing but IHDR, PLTE, tRNS, IDAT and IEND decides pixels.
    png_set_keep_unknown_chunks(png, PNG_HANDLE_CHUNK_NEVER, NULL, -1);
    png_read_info(png, reader->info);

    struct convoy_picture_facts *facts = reader->facts;
    const int type = png_get_color_type(png, reader->info);
    facts->format = CONVOY_PICTURE_PNG;
    facts->width = png_get_image_width(png, reader->info);
    facts->height = png_get_image_height(png, reader->info);
    facts->bit_depth = png_get_bit_depth(png, reader->info);
    facts->has_palette = type == PNG_COLOR_TYPE_PALETTE;
    facts->channels = facts->has_palette ? 3 : png_get_channels(png, reader->info);
    facts->has_alpha = (type & PNG_COLOR_MASK_ALPHA) != 0 ||
                       png_get_valid(png, reader->info, PNG_INFO_tRNS) != 0;
    facts->is_progressive =
        png_get_interlace_type(png, reader->info) != PNG_INTERLACE_NONE;
    facts->orientation = orientation(reader->source);
}

/// Runs `body` until it returns or escapes. The reader belongs to the caller, for setjmp leaves
/// undefined what changes in the variables of the function that calls it.
static int run(struct reader *reader, void (*body)(struct reader *)) {
    if (setjmp(reader->escape) == 0) body(reader);
    png_destroy_read_struct(&reader->png, &reader->info, NULL);
    return reader->failure->trouble;
}

int convoy_probe_png(struct convoy_source source, struct convoy_picture_facts *facts,
                     struct convoy_picture_failure *failure) {
    struct reader reader = {.source = source, .facts = facts, .failure = failure};
    return run(&reader, read_header);
}

static void read_layout(struct reader *reader) {
    const struct convoy_picture_options *options = reader->options;
    struct layout *layout = &reader->layout;
    png_structp png = reader->png;
    png_infop info = reader->info;
    layout->type = png_get_color_type(png, info);
    layout->bit_depth = png_get_bit_depth(png, info);
    layout->width = png_get_image_width(png, info);
    layout->channels = convoy_result_channels(reader->facts, options);
    layout->alpha = options->alpha;
    layout->sixteen_bit = options->sixteen_bit;
    png_colorp colours = NULL;
    int colour_count = 0;
    png_bytep alphas = NULL;
    int alpha_count = 0;
    png_color_16p transparent = NULL;
    png_get_PLTE(png, info, &colours, &colour_count);
    if (png_get_tRNS(png, info, &alphas, &alpha_count, &transparent) == 0) {
        alpha_count = 0;
        transparent = NULL;
    }
    if (layout->type != PNG_COLOR_TYPE_PALETTE) {
        layout->has_transparent_colour = transparent != NULL;
        if (transparent == NULL) return;
        const bool is_grey = layout->type == PNG_COLOR_TYPE_GRAY;
        layout->transparent[0] = is_grey ? transparent->gray : transparent->red;
        layout->transparent[1] = is_grey ? transparent->gray : transparent->green;
        layout->transparent[2] = is_grey ? transparent->gray : transparent->blue;
        return;
    }
    // An index beyond the palette is black, as Pillow has it.
    for (int i = 0; i < 256; i++) {
        uint8_t *entry = layout->palette[i];
        memset(entry, 0, 3);
        entry[3] = 255;
        if (i < colour_count) {
            entry[0] = colours[i].red;
            entry[1] = colours[i].green;
            entry[2] = colours[i].blue;
        }
        if (i < alpha_count && alphas != NULL) entry[3] = alphas[i];
    }
}

static uint32_t number(const struct layout *layout, const uint8_t *row, size_t index) {
    return layout->bit_depth == 16 ? (uint32_t)row[2 * index] << 8 | row[2 * index + 1]
                                   : row[index];
}

/// Returns a number of the file as eight bits.
static uint8_t level(const struct layout *layout, uint32_t number) {
    switch (layout->bit_depth) {
    case 1: return (uint8_t)(number * 255);
    case 2: return (uint8_t)(number * 85);
    case 4: return (uint8_t)(number * 17);
    case 8: return (uint8_t)number;
    default: break;
    }
    if (layout->type == PNG_COLOR_TYPE_GRAY && layout->sixteen_bit == CONVOY_PICTURE_SIXTEEN_CLIP) {
        return number > 255 ? 255 : (uint8_t)number;
    }
    return (uint8_t)(number >> 8);
}

/// Converts a row of numbers to a row of bytes, one pixel at a time: grey or colour, and alpha.
/// Returns the bytes a pixel.
static int32_t expand_row(const struct layout *layout, const uint8_t *row, uint8_t *out) {
    const bool is_grey = (layout->type & PNG_COLOR_MASK_COLOR) == 0;
    const size_t colours = is_grey ? 1 : 3;
    const bool has_alpha = (layout->type & PNG_COLOR_MASK_ALPHA) != 0;
    const size_t step = colours + 1;
    for (size_t x = 0; x < layout->width; x++, out += step) {
        if (layout->type == PNG_COLOR_TYPE_PALETTE) {
            memcpy(out, layout->palette[row[x]], 4);
            continue;
        }
        const size_t first = x * (colours + has_alpha);
        bool is_transparent = layout->has_transparent_colour;
        for (size_t c = 0; c < colours; c++) {
            const uint32_t value = number(layout, row, first + c);
            is_transparent = is_transparent && value == layout->transparent[c];
            out[c] = level(layout, value);
        }
        out[colours] = has_alpha ? level(layout, number(layout, row, first + colours))
                       : is_transparent ? 0
                                        : 255;
    }
    return (int32_t)step;
}

static void convert_row(const struct layout *layout, const uint8_t *row, uint8_t *wide,
                        uint8_t *out) {
    if (layout->bit_depth == 8 && layout->type == PNG_COLOR_TYPE_GRAY &&
        (!layout->has_transparent_colour || layout->alpha == CONVOY_PICTURE_ALPHA_DROP)) {
        convoy_grey_row(row, out, layout->width, layout->channels);
    } else if (layout->bit_depth == 8 && layout->type == PNG_COLOR_TYPE_RGB &&
               (!layout->has_transparent_colour || layout->alpha == CONVOY_PICTURE_ALPHA_DROP)) {
        convoy_rgb_row(row, out, layout->width, layout->channels);
    } else if (layout->bit_depth == 8 && (layout->type & PNG_COLOR_MASK_ALPHA) != 0) {
        const int32_t step = layout->type == PNG_COLOR_TYPE_GRAY_ALPHA ? 2 : 4;
        convoy_alpha_row(row, out, layout->width, step, layout->channels, layout->alpha);
    } else {
        const int32_t step = expand_row(layout, row, wide);
        convoy_alpha_row(wide, out, layout->width, step, layout->channels, layout->alpha);
    }
}

static void require(struct reader *reader, int trouble) {
    if (trouble != 0) escape(reader);
}

static void check_options(struct reader *reader) {
    const struct convoy_picture_options *options = reader->options;
    const struct convoy_picture_facts *facts = reader->facts;
    if (facts->bit_depth == 16 && facts->channels == 1 &&
        options->sixteen_bit == CONVOY_PICTURE_SIXTEEN_REFUSE) {
        convoy_fail(reader->failure, CONVOY_PICTURE_SIXTEEN_BIT, -1,
                    "a picture of 8 bits a number", "a grey PNG of 16 bits");
        convoy_advise(reader->failure, "set sixteen-bit to scale (the upper 8 bits) or to clip "
                                       "(values above 255 become 255, as Pillow has it)");
        escape(reader);
    }
    require(reader, convoy_check_size(facts, options->maximum_pixel_count, reader->failure));
    const int64_t bits =
        facts->width * facts->bit_depth * png_get_channels(reader->png, reader->info);
    const int64_t raw = facts->height * ((bits + 7) / 8);
    if (raw / MOST_EXPANSION <= (int64_t)reader->source.byte_count) return;
    convoy_fail(reader->failure, CONVOY_PICTURE_TRUNCATED, (int64_t)reader->source.byte_count,
                "a PNG with its IEND chunk", "%lld bytes for %lld by %lld pixels",
                (long long)reader->source.byte_count, (long long)facts->width,
                (long long)facts->height);
    convoy_advise(reader->failure, "get the file again, or leave it out");
    escape(reader);
}

static void decode(struct reader *reader) {
    convoy_picture_scratch *scratch = reader->scratch;
    const struct layout *layout = &reader->layout;
    read_header(reader);
    check_options(reader);
    read_layout(reader);
    png_structp png = reader->png;
    png_set_packing(png);
    const int pass_count = png_set_interlace_handling(png);
    png_read_update_info(png, reader->info);
    const size_t row_byte_count = png_get_rowbytes(png, reader->info);
    const size_t height = (size_t)reader->facts->height;
    const size_t kept_rows = pass_count > 1 ? height : 1;
    require(reader,
            convoy_reserve_pixels(scratch, reader->facts, layout->channels, reader->failure));
    // Behind the file's rows stands one row of at most four bytes a pixel.
    uint8_t *rows = convoy_reserve(&scratch->rows, kept_rows * row_byte_count + 4 * layout->width);
    if (rows == NULL) {
        convoy_fail(reader->failure, CONVOY_PICTURE_NO_MEMORY, -1, "memory for the PNG's rows",
                    "none");
        escape(reader);
    }
    uint8_t *wide = rows + kept_rows * row_byte_count;
    uint8_t *out = scratch->pixels.bytes;
    const size_t out_stride = layout->width * (size_t)layout->channels;
    for (int pass = 0; pass < pass_count; pass++) {
        const bool is_last = pass == pass_count - 1;
        for (size_t y = 0; y < height; y++) {
            uint8_t *row = rows + (pass_count > 1 ? y * row_byte_count : 0);
            png_read_row(png, row, NULL);
            if (is_last) convert_row(layout, row, wide, out + y * out_stride);
        }
    }
    png_read_end(png, NULL);
}

int convoy_decode_png(convoy_picture_scratch *scratch, struct convoy_source source,
                      const struct convoy_picture_options *options,
                      struct convoy_picture_facts *facts, struct convoy_picture_failure *failure) {
    struct reader reader = {
        .source = source,
        .facts = facts,
        .failure = failure,
        .options = options,
        .scratch = scratch,
    };
    return run(&reader, decode);
}

/// Bytes of a PNG that is being written.
struct writer {
    jmp_buf escape;
    png_structp png;
    png_infop info;
    uint8_t *bytes;
    size_t byte_count, capacity;
    bool is_whole;
};

__attribute__((noreturn)) static void stop_writing(png_structp png, const char *text) {
    (void)text;
    struct writer *writer = png_get_error_ptr(png);
    longjmp(writer->escape, 1);
}

static void write_bytes(png_structp png, png_bytep bytes, size_t count) {
    struct writer *writer = png_get_io_ptr(png);
    if (count > writer->capacity - writer->byte_count) {
        const size_t capacity = 2 * writer->capacity + count + 4096;
        uint8_t *grown = realloc(writer->bytes, capacity);
        if (grown == NULL) png_error(png, "no memory");
        writer->bytes = grown;
        writer->capacity = capacity;
    }
    memcpy(writer->bytes + writer->byte_count, bytes, count);
    writer->byte_count += count;
}

static void flush_nothing(png_structp png) { (void)png; }

static void encode(struct writer *writer, int32_t width, int32_t height, int32_t channels,
                   const uint8_t *pixels) {
    if (setjmp(writer->escape) != 0) return;
    writer->png =
        png_create_write_struct(PNG_LIBPNG_VER_STRING, writer, stop_writing, ignore_warning);
    if (writer->png != NULL) writer->info = png_create_info_struct(writer->png);
    if (writer->info == NULL) return;
    png_set_write_fn(writer->png, writer, write_bytes, flush_nothing);
    png_set_IHDR(writer->png, writer->info, (png_uint_32)width, (png_uint_32)height, 8,
                 channels == 1 ? PNG_COLOR_TYPE_GRAY : PNG_COLOR_TYPE_RGB, PNG_INTERLACE_NONE,
                 PNG_COMPRESSION_TYPE_DEFAULT, PNG_FILTER_TYPE_DEFAULT);
    png_write_info(writer->png, writer->info);
    for (int32_t y = 0; y < height; y++) {
        png_write_row(writer->png, pixels + (size_t)y * (size_t)width * (size_t)channels);
    }
    png_write_end(writer->png, NULL);
    writer->is_whole = true;
}

uint8_t *convoy_picture_encode_png(int32_t width, int32_t height, int32_t channels,
                                   const uint8_t *pixels, size_t *byte_count) {
    struct writer writer = {.png = NULL};
    encode(&writer, width, height, channels, pixels);
    png_destroy_write_struct(&writer.png, &writer.info);
    if (!writer.is_whole) {
        free(writer.bytes);
        return NULL;
    }
    *byte_count = writer.byte_count;
    return writer.bytes;
}
