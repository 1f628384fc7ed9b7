#ifndef CONVOY_PICTURE_H
#define CONVOY_PICTURE_H

#include "convoy_pictures.h"

#include <stdbool.h>
#include <string.h>

/// Sizes of a side that the formats and the arithmetic here allow.
#define CONVOY_LARGEST_SIDE 65535
/// Scans of a JPEG that are decoded at most.
#define CONVOY_MOST_SCANS 500

/// Memory that only grows.
struct convoy_buffer {
    uint8_t *bytes;
    size_t capacity;
};

struct convoy_picture_scratch {
    /// Pixels of the opened picture, interleaved.
    struct convoy_buffer pixels;
    /// Rows of a file that is being decoded.
    struct convoy_buffer rows;
    /// The picture before it is turned.
    struct convoy_buffer upright;
    /// The picture after the horizontal pass of a resize, and one row of it.
    struct convoy_buffer middle, line;
    /// Weights of the two passes.
    struct convoy_buffer columns, column_weights, lines, line_weights;
    int32_t width, height, channels;
};

struct convoy_source {
    const uint8_t *bytes;
    size_t byte_count;
};

/// Returns at least `byte_count` bytes, whose contents are undefined, or NULL.
void *convoy_reserve(struct convoy_buffer *buffer, size_t byte_count);

/// Fills in a failure and returns its trouble. The texts are formats of printf.
__attribute__((format(printf, 5, 6))) int convoy_fail(struct convoy_picture_failure *failure,
                                                      int trouble, int64_t offset,
                                                      const char *expected, const char *found, ...);
/// Adds advice to a failure and returns its trouble.
int convoy_advise(struct convoy_picture_failure *failure, const char *advice);

/// Fails when a picture has more pixels than the options allow.
int convoy_check_size(const struct convoy_picture_facts *facts, int64_t maximum_pixel_count,
                      struct convoy_picture_failure *failure);

/// Returns the channels of the result, from those of the file and the option.
static inline int32_t convoy_result_channels(const struct convoy_picture_facts *facts,
                                             const struct convoy_picture_options *options) {
    return options->channels != 0 ? options->channels : facts->channels < 3 ? 1 : 3;
}

/// Reserves the scratch's pixels for a picture.
int convoy_reserve_pixels(convoy_picture_scratch *scratch, const struct convoy_picture_facts *facts,
                          int32_t channels, struct convoy_picture_failure *failure);

/// One pair of functions a format. `decode` fills the scratch's pixels.
typedef int convoy_probe_function(struct convoy_source source, struct convoy_picture_facts *facts,
                                  struct convoy_picture_failure *failure);
typedef int convoy_decode_function(convoy_picture_scratch *scratch, struct convoy_source source,
                                   const struct convoy_picture_options *options,
                                   struct convoy_picture_facts *facts,
                                   struct convoy_picture_failure *failure);
convoy_probe_function convoy_probe_jpeg, convoy_probe_png, convoy_probe_webp;
convoy_decode_function convoy_decode_jpeg, convoy_decode_png, convoy_decode_webp;

/// Returns the orientation that a block of EXIF gives, or 1.
int32_t convoy_exif_orientation(const uint8_t *bytes, size_t byte_count);

/// Returns the grey level of a colour, as Pillow computes it.
static inline uint8_t convoy_grey(uint32_t red, uint32_t green, uint32_t blue) {
    return (uint8_t)((19595 * red + 38470 * green + 7471 * blue + 32768) >> 16);
}

/// Returns a * b / 255, rounded as Pillow does.
static inline uint32_t convoy_divide_255(uint32_t product) {
    const uint32_t rounded = product + 128;
    return ((rounded >> 8) + rounded) >> 8;
}

/// Rows of `count` pixels to rows of `channels` channels. Source and destination are apart.
void convoy_grey_row(const uint8_t *grey, uint8_t *out, size_t count, int32_t channels);
void convoy_rgb_row(const uint8_t *rgb, uint8_t *out, size_t count, int32_t channels);
/// CMYK as in Adobe's files: 255 is no ink.
void convoy_cmyk_row(const uint8_t *cmyk, uint8_t *out, size_t count, int32_t channels);
/// Pixels whose step is `step` bytes and whose alpha is the last byte.
void convoy_alpha_row(const uint8_t *pixels, uint8_t *out, size_t count, int32_t step,
                      int32_t channels, int32_t alpha);

/// Turns the scratch's picture as an orientation says.
int convoy_turn(convoy_picture_scratch *scratch, int32_t orientation,
                struct convoy_picture_failure *failure);

/// A part of a resize: pixels [H, W, C] with rows `stride` bytes apart; the result is the window of
/// the resized picture that begins at (first_row, first_column).
struct convoy_resize {
    const uint8_t *source;
    /// The first byte behind the memory that may be read.
    const uint8_t *end;
    size_t stride;
    int32_t height, width, channels;
    /// The sides of the whole result, and the window of it that is computed.
    int64_t new_height, new_width, first_row, first_column;
    int32_t row_count, column_count;
    int32_t filter;
};

/// Computes the weights of a resize; `convoy_resize_run` then uses them for any number of pictures
/// of this size.
int convoy_resize_prepare(convoy_picture_scratch *scratch, const struct convoy_resize *resize,
                          struct convoy_picture_failure *failure);
/// Writes the rows of the window at distances of `stride` bytes.
void convoy_resize_run(convoy_picture_scratch *scratch, const struct convoy_resize *resize,
                       uint8_t *destination, size_t stride);

#endif
