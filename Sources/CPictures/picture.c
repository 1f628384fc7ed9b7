#include "picture.h"

#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>

#include <jpeglib.h>
#include <png.h>
#include <webp/decode.h>
#include <zlib.h>

/// Counts changes of the code here that change pixels.
#define CODE_REVISION 1

/// The longest side of a picture that is resized and then cropped.
#define LONGEST_SIDE (1 << 24)
#define LARGEST_PIXEL_COUNT ((int64_t)CONVOY_LARGEST_SIDE * CONVOY_LARGEST_SIDE)

void *convoy_reserve(struct convoy_buffer *buffer, size_t byte_count) {
    if (byte_count <= buffer->capacity && buffer->bytes != NULL) return buffer->bytes;
    // What a buffer held is not needed any more.
    free(buffer->bytes);
    buffer->capacity = byte_count == 0 ? 1 : byte_count;
    buffer->bytes = malloc(buffer->capacity);
    if (buffer->bytes == NULL) buffer->capacity = 0;
    return buffer->bytes;
}

convoy_picture_scratch *convoy_picture_scratch_create(void) {
    return calloc(1, sizeof(convoy_picture_scratch));
}

void convoy_picture_scratch_free(convoy_picture_scratch *scratch) {
    if (scratch == NULL) return;
    struct convoy_buffer *buffers[] = {
        &scratch->pixels,  &scratch->rows,           &scratch->upright, &scratch->middle,
        &scratch->line,    &scratch->columns,        &scratch->column_weights,
        &scratch->lines,   &scratch->line_weights,
    };
    for (size_t i = 0; i < sizeof buffers / sizeof *buffers; i++) free(buffers[i]->bytes);
    free(scratch);
}

int convoy_fail(struct convoy_picture_failure *failure, int trouble, int64_t offset,
                const char *expected, const char *found, ...) {
    failure->trouble = trouble;
    failure->offset = offset;
    failure->advice[0] = 0;
    snprintf(failure->expected, sizeof failure->expected, "%s", expected);
    va_list arguments;
    va_start(arguments, found);
    vsnprintf(failure->found, sizeof failure->found, found, arguments);
    va_end(arguments);
    return trouble;
}

int convoy_advise(struct convoy_picture_failure *failure, const char *advice) {
    snprintf(failure->advice, sizeof failure->advice, "%s", advice);
    return failure->trouble;
}

int convoy_check_size(const struct convoy_picture_facts *facts, int64_t maximum_pixel_count,
                      struct convoy_picture_failure *failure) {
    const bool is_long =
        facts->width > CONVOY_LARGEST_SIDE || facts->height > CONVOY_LARGEST_SIDE;
    if (!is_long && facts->width * facts->height <= maximum_pixel_count) {
        return CONVOY_PICTURE_FINE;
    }
    char expected[112];
    if (is_long) {
        snprintf(expected, sizeof expected, "sides of at most %d pixels", CONVOY_LARGEST_SIDE);
    } else {
        snprintf(expected, sizeof expected, "at most %lld pixels", (long long)maximum_pixel_count);
    }
    convoy_fail(failure, CONVOY_PICTURE_TOO_LARGE, -1, expected, "%lld by %lld pixels",
                (long long)facts->width, (long long)facts->height);
    return convoy_advise(failure, is_long ? "make the picture smaller"
                                          : "make it smaller, or raise the limit of pixels");
}

int convoy_reserve_pixels(convoy_picture_scratch *scratch, const struct convoy_picture_facts *facts,
                          int32_t channels, struct convoy_picture_failure *failure) {
    const size_t byte_count = (size_t)(facts->width * facts->height) * (size_t)channels;
    if (convoy_reserve(&scratch->pixels, byte_count) == NULL) {
        return convoy_fail(failure, CONVOY_PICTURE_NO_MEMORY, -1, "memory for the pixels",
                           "none for %zu bytes", byte_count);
    }
    scratch->width = (int32_t)facts->width;
    scratch->height = (int32_t)facts->height;
    scratch->channels = channels;
    return CONVOY_PICTURE_FINE;
}

/// A format by the bytes that its files have at some place near their begin.
struct signature {
    size_t place, length;
    const char *bytes;
    const char *name;
    convoy_probe_function *probe;
    convoy_decode_function *decode;
};

#define SIGNATURE(place, text) place, sizeof text - 1, text
#define NO_DECODER NULL, NULL

static const struct signature signatures[] = {
    {SIGNATURE(0, "\xFF\xD8\xFF"), "a JPEG", convoy_probe_jpeg, convoy_decode_jpeg},
    {SIGNATURE(0, "\x89PNG\r\n\x1A\n"), "a PNG", convoy_probe_png, convoy_decode_png},
    {SIGNATURE(8, "WEBPVP8"), "a WebP", convoy_probe_webp, convoy_decode_webp},
    {SIGNATURE(0, "GIF8"), "a GIF", NO_DECODER},
    {SIGNATURE(0, "BM"), "a BMP", NO_DECODER},
    {SIGNATURE(0, "II*\0"), "a TIFF", NO_DECODER},
    {SIGNATURE(0, "MM\0*"), "a TIFF", NO_DECODER},
    {SIGNATURE(0, "II+\0"), "a BigTIFF", NO_DECODER},
    {SIGNATURE(0, "MM\0+"), "a BigTIFF", NO_DECODER},
    {SIGNATURE(4, "ftypavif"), "an AVIF", NO_DECODER},
    {SIGNATURE(4, "ftypavis"), "an AVIF", NO_DECODER},
    {SIGNATURE(4, "ftyphei"), "a HEIC", NO_DECODER},
    {SIGNATURE(4, "ftyphev"), "a HEIC", NO_DECODER},
    {SIGNATURE(4, "ftypmif1"), "a HEIC", NO_DECODER},
    {SIGNATURE(4, "ftypmsf1"), "a HEIC", NO_DECODER},
    {SIGNATURE(4, "ftyp"), "a film", NO_DECODER},
    {SIGNATURE(4, "jP  \r\n"), "a JPEG 2000", NO_DECODER},
    {SIGNATURE(0, "\xFF\x4F\xFF\x51"), "a JPEG 2000", NO_DECODER},
    {SIGNATURE(4, "JXL \r\n"), "a JPEG XL", NO_DECODER},
    {SIGNATURE(0, "\xFF\x0A"), "a JPEG XL", NO_DECODER},
    {SIGNATURE(0, "8BPS"), "a Photoshop file", NO_DECODER},
    {SIGNATURE(0, "\0\0\1\0"), "an icon (ICO)", NO_DECODER},
    {SIGNATURE(0, "DDS "), "a DDS", NO_DECODER},
    {SIGNATURE(0, "qoif"), "a QOI", NO_DECODER},
    {SIGNATURE(0, "\x76\x2F\x31\x01"), "an OpenEXR", NO_DECODER},
    {SIGNATURE(0, "P1\n"), "a PBM", NO_DECODER},
    {SIGNATURE(0, "P2\n"), "a PGM", NO_DECODER},
    {SIGNATURE(0, "P3\n"), "a PPM", NO_DECODER},
    {SIGNATURE(0, "P4\n"), "a PBM", NO_DECODER},
    {SIGNATURE(0, "P5\n"), "a PGM", NO_DECODER},
    {SIGNATURE(0, "P6\n"), "a PPM", NO_DECODER},
    {SIGNATURE(0, "\x8AMNG"), "an MNG", NO_DECODER},
    {SIGNATURE(0, "%PDF"), "a PDF", NO_DECODER},
    {SIGNATURE(0, "<svg"), "an SVG", NO_DECODER},
    {SIGNATURE(0, "<?xml"), "an XML file", NO_DECODER},
    {SIGNATURE(0, "<!DOCTYPE"), "an HTML page", NO_DECODER},
    {SIGNATURE(0, "<html"), "an HTML page", NO_DECODER},
    {SIGNATURE(0, "\x1F\x8B"), "a gzip file", NO_DECODER},
    {SIGNATURE(0, "PK\3\4"), "a zip file", NO_DECODER},
};

#define EXPECTED_FORMAT "a JPEG, PNG or WebP"

/// Fails for a file that is too short for the signature of a format, and for one that has none.
static int fail_without_signature(struct convoy_source source,
                                  struct convoy_picture_failure *failure) {
    if (source.byte_count == 0) {
        convoy_fail(failure, CONVOY_PICTURE_EMPTY, 0, EXPECTED_FORMAT, "an empty file");
        return convoy_advise(failure, "get the file again, or leave it out");
    }
    for (size_t i = 0; i < 3; i++) {
        const struct signature *signature = &signatures[i];
        const char *begin = signature->place == 0 ? signature->bytes : "RIFF";
        const size_t length = signature->place == 0 ? signature->length : 4;
        if (source.byte_count >= signature->place + signature->length) continue;
        const size_t known = source.byte_count < length ? source.byte_count : length;
        if (memcmp(source.bytes, begin, known) == 0) {
            convoy_fail(failure, CONVOY_PICTURE_TRUNCATED, (int64_t)source.byte_count,
                        EXPECTED_FORMAT, "a file of %zu bytes", source.byte_count);
            return convoy_advise(failure, "get the file again, or leave it out");
        }
    }
    char begin[3 * 8 + 1] = "";
    for (size_t i = 0; i < 8 && i < source.byte_count; i++) {
        snprintf(begin + 3 * i, sizeof begin - 3 * i, " %02x", source.bytes[i]);
    }
    convoy_fail(failure, CONVOY_PICTURE_UNKNOWN_FORMAT, 0, EXPECTED_FORMAT,
                "a file that begins with%s", begin);
    return convoy_advise(failure, "leave the file out");
}

/// Returns the format of a file that can be decoded, or NULL with a failure.
static const struct signature *recognise(struct convoy_source source,
                                         struct convoy_picture_failure *failure) {
    for (size_t i = 0; i < sizeof signatures / sizeof *signatures; i++) {
        const struct signature *signature = &signatures[i];
        if (source.byte_count < signature->place + signature->length ||
            memcmp(source.bytes + signature->place, signature->bytes, signature->length) != 0) {
            continue;
        }
        if (signature->decode != NULL) {
            // A WebP has a header of its own before its name.
            if (signature->place == 0 || memcmp(source.bytes, "RIFF", 4) == 0) return signature;
            continue;
        }
        convoy_fail(failure, CONVOY_PICTURE_REFUSED_FORMAT, 0, EXPECTED_FORMAT, "%s",
                    signature->name);
        convoy_advise(failure, "convert the file, or leave it out");
        return NULL;
    }
    fail_without_signature(source, failure);
    return NULL;
}

static const struct convoy_picture_facts no_facts = {.orientation = 1};

int convoy_picture_probe(const uint8_t *bytes, size_t byte_count,
                         struct convoy_picture_facts *facts,
                         struct convoy_picture_failure *failure) {
    *facts = no_facts;
    failure->trouble = CONVOY_PICTURE_FINE;
    const struct convoy_source source = {bytes, byte_count};
    const struct signature *signature = recognise(source, failure);
    if (signature == NULL) return failure->trouble;
    return signature->probe(source, facts, failure);
}

static int check_options(const struct convoy_picture_options *options,
                         struct convoy_picture_failure *failure) {
    const bool has_size = options->height != 0 || options->width != 0;
    const char *expected = NULL;
    if (has_size && (options->height < 1 || options->width < 1 ||
                     options->height > CONVOY_LARGEST_SIDE ||
                     options->width > CONVOY_LARGEST_SIDE)) {
        expected = "a size of 1 to 65535 by 1 to 65535 pixels";
    } else if (options->channels != 0 && options->channels != 1 && options->channels != 3) {
        expected = "1 or 3 channels";
    } else if (options->filter < 0 || options->filter > CONVOY_PICTURE_BICUBIC ||
               options->fit < 0 || options->fit > CONVOY_PICTURE_CROP || options->alpha < 0 ||
               options->alpha > CONVOY_PICTURE_ALPHA_WHITE || options->sixteen_bit < 0 ||
               options->sixteen_bit > CONVOY_PICTURE_SIXTEEN_CLIP) {
        expected = "a filter, fit, alpha and treatment of 16 bits that exist";
    } else if (options->maximum_pixel_count < 1 ||
               options->maximum_pixel_count > LARGEST_PIXEL_COUNT ||
               (int64_t)options->height * options->width > options->maximum_pixel_count) {
        expected = "a limit of pixels from that of the size to 65535 * 65535";
    }
    if (expected == NULL) return CONVOY_PICTURE_FINE;
    return convoy_fail(failure, CONVOY_PICTURE_BAD_OPTION, -1, expected,
                       "size %d by %d, %d channels, at most %lld pixels", options->height,
                       options->width, options->channels, (long long)options->maximum_pixel_count);
}

/// Returns how many rows or columns lie before the middle. Halves go to the even number, as in
/// torchvision's CenterCrop.
static int64_t before_middle(int64_t whole, int64_t part) {
    const int64_t rest = whole - part, half = rest / 2;
    return rest % 2 == 0 ? half : half + half % 2;
}

/// Describes the resize that the options ask for. Sides are as in torchvision's Resize, which takes
/// the shorter one and lets the other follow, rounded down, and CenterCrop.
static struct convoy_resize planned(const convoy_picture_scratch *scratch,
                                    const struct convoy_picture_options *options) {
    const size_t stride = (size_t)scratch->width * (size_t)scratch->channels;
    struct convoy_resize resize = {
        .source = scratch->pixels.bytes,
        .end = scratch->pixels.bytes + stride * (size_t)scratch->height,
        .stride = stride,
        .height = scratch->height,
        .width = scratch->width,
        .channels = scratch->channels,
        .new_height = scratch->height,
        .new_width = scratch->width,
        .row_count = scratch->height,
        .column_count = scratch->width,
        .filter = options->filter,
    };
    if (options->height == 0) return resize;
    const int64_t height = scratch->height, width = scratch->width;
    resize.row_count = resize.new_height = options->height;
    resize.column_count = resize.new_width = options->width;
    if (options->fit == CONVOY_PICTURE_STRETCH) return resize;
    if (width * options->height <= height * options->width) {
        resize.new_height = options->width * height / width;
    } else {
        resize.new_width = options->height * width / height;
    }
    resize.first_row = before_middle(resize.new_height, options->height);
    resize.first_column = before_middle(resize.new_width, options->width);
    return resize;
}

int convoy_picture_open(convoy_picture_scratch *scratch, const uint8_t *bytes, size_t byte_count,
                        const struct convoy_picture_options *options,
                        struct convoy_picture_opened *opened,
                        struct convoy_picture_failure *failure) {
    memset(opened, 0, sizeof *opened);
    opened->facts = no_facts;
    failure->trouble = CONVOY_PICTURE_FINE;
    scratch->width = scratch->height = 0;
    if (check_options(options, failure) != 0) return failure->trouble;
    const struct convoy_source source = {bytes, byte_count};
    const struct signature *signature = recognise(source, failure);
    if (signature == NULL) return failure->trouble;
    int trouble = signature->decode(scratch, source, options, &opened->facts, failure);
    if (trouble == 0 && options->applies_orientation) {
        trouble = convoy_turn(scratch, opened->facts.orientation, failure);
    }
    if (trouble != 0) {
        scratch->width = scratch->height = 0;
        return trouble;
    }
    const struct convoy_resize resize = planned(scratch, options);
    if (resize.new_height > LONGEST_SIDE || resize.new_width > LONGEST_SIDE) {
        return convoy_fail(failure, CONVOY_PICTURE_TOO_LARGE, -1,
                           "a picture that is less long and narrow", "%d by %d pixels",
                           scratch->width, scratch->height);
    }
    opened->height = resize.row_count;
    opened->width = resize.column_count;
    opened->channels = resize.channels;
    return CONVOY_PICTURE_FINE;
}

static void to_planar(const uint8_t *interleaved, uint8_t *planar, size_t count, size_t plane) {
    for (size_t x = 0; x < count; x++) {
        planar[x] = interleaved[3 * x];
        planar[plane + x] = interleaved[3 * x + 1];
        planar[2 * plane + x] = interleaved[3 * x + 2];
    }
}

int convoy_picture_finish(convoy_picture_scratch *scratch,
                          const struct convoy_picture_options *options, int is_planar,
                          uint8_t *destination, struct convoy_picture_failure *failure) {
    failure->trouble = CONVOY_PICTURE_FINE;
    if (scratch->width == 0) {
        return convoy_fail(failure, CONVOY_PICTURE_BAD_OPTION, -1, "an opened picture", "none");
    }
    if (check_options(options, failure) != 0) return failure->trouble;
    const struct convoy_resize resize = planned(scratch, options);
    if (convoy_resize_prepare(scratch, &resize, failure) != 0) return failure->trouble;
    const size_t rows = (size_t)resize.row_count, columns = (size_t)resize.column_count;
    const size_t stride = columns * (size_t)resize.channels;
    if (!is_planar || resize.channels == 1) {
        convoy_resize_run(scratch, &resize, destination, stride);
        return CONVOY_PICTURE_FINE;
    }
    uint8_t *interleaved = convoy_reserve(&scratch->upright, rows * stride);
    if (interleaved == NULL) {
        return convoy_fail(failure, CONVOY_PICTURE_NO_MEMORY, -1, "memory for the result", "none");
    }
    convoy_resize_run(scratch, &resize, interleaved, stride);
    to_planar(interleaved, destination, rows * columns, rows * columns);
    return CONVOY_PICTURE_FINE;
}

int convoy_picture_resize(convoy_picture_scratch *scratch, const uint8_t *source, int32_t channels,
                          int32_t height, int32_t width, int32_t box_top, int32_t box_left,
                          int32_t box_height, int32_t box_width, int32_t new_height,
                          int32_t new_width, int32_t filter, uint8_t *destination,
                          struct convoy_picture_failure *failure) {
    failure->trouble = CONVOY_PICTURE_FINE;
    if (channels < 1 || box_top < 0 || box_left < 0 || box_height < 1 || box_width < 1 ||
        box_top > height - box_height || box_left > width - box_width ||
        height > CONVOY_LARGEST_SIDE || width > CONVOY_LARGEST_SIDE || new_height < 1 ||
        new_width < 1 || new_height > CONVOY_LARGEST_SIDE || new_width > CONVOY_LARGEST_SIDE ||
        filter < 0 || filter > CONVOY_PICTURE_BICUBIC) {
        return convoy_fail(failure, CONVOY_PICTURE_BAD_OPTION, -1,
                           "a box within the picture and sides of 1 to 65535",
                           "box (%d, %d) of %d by %d in %d by %d, to %d by %d", box_top, box_left,
                           box_height, box_width, height, width, new_height, new_width);
    }
    const size_t plane = (size_t)height * (size_t)width;
    struct convoy_resize resize = {
        .source = source + (size_t)box_top * (size_t)width + (size_t)box_left,
        .end = source + plane * (size_t)channels,
        .stride = (size_t)width,
        .height = box_height,
        .width = box_width,
        .channels = 1,
        .new_height = new_height,
        .new_width = new_width,
        .row_count = new_height,
        .column_count = new_width,
        .filter = filter,
    };
    if (convoy_resize_prepare(scratch, &resize, failure) != 0) return failure->trouble;
    for (int32_t c = 0; c < channels; c++) {
        convoy_resize_run(scratch, &resize, destination, (size_t)new_width);
        resize.source += plane;
        destination += (size_t)new_height * (size_t)new_width;
    }
    return CONVOY_PICTURE_FINE;
}

void convoy_picture_versions(char *text, size_t capacity) {
    const int webp = WebPGetDecoderVersion();
#ifdef LIBJPEG_TURBO_VERSION
#define TURBO_TEXT(version) #version
#define TURBO(version) TURBO_TEXT(version)
    const char *turbo = "-" TURBO(LIBJPEG_TURBO_VERSION);
#else
    const char *turbo = "";
#endif
    snprintf(text, capacity, "jpeg %d%s png %s zlib %s webp %d.%d.%d code %d", JPEG_LIB_VERSION,
             turbo, png_get_libpng_ver(NULL), zlibVersion(), webp >> 16, webp >> 8 & 255,
             webp & 255, CODE_REVISION);
}
