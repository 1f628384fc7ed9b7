/// Picture files to pixels, as Pillow computes them: decoding (JPEG, PNG, WebP), conversion to grey
/// or RGB, turning, and resizing. The results equal Pillow's to the level.
///
/// Legend: H height, W width, C channels (1 or 3). Pixels are bytes, rows from the top. Interleaved
/// means [H, W, C], planar [C, H, W].
///
/// Threads: a scratch belongs to one thread at a time; nothing else is shared. Nothing is printed.
#ifndef CONVOY_PICTURES_H
#define CONVOY_PICTURES_H

#include <stddef.h>
#include <stdint.h>

enum convoy_picture_format {
    CONVOY_PICTURE_JPEG = 1,
    CONVOY_PICTURE_PNG = 2,
    CONVOY_PICTURE_WEBP = 3,
};

enum convoy_picture_alpha {
    /// Alpha is left out; the colour under it shows.
    CONVOY_PICTURE_ALPHA_DROP = 0,
    CONVOY_PICTURE_ALPHA_BLACK = 1,
    CONVOY_PICTURE_ALPHA_WHITE = 2,
};

/// The treatment of grey PNGs of 16 bits. All other pictures of 16 bits keep the upper eight.
enum convoy_picture_sixteen_bit {
    CONVOY_PICTURE_SIXTEEN_REFUSE = 0,
    /// The upper eight bits.
    CONVOY_PICTURE_SIXTEEN_SCALE = 1,
    /// Values above 255 become 255.
    CONVOY_PICTURE_SIXTEEN_CLIP = 2,
};

enum convoy_picture_filter {
    CONVOY_PICTURE_NEAREST = 0,
    CONVOY_PICTURE_BOX = 1,
    CONVOY_PICTURE_BILINEAR = 2,
    CONVOY_PICTURE_BICUBIC = 3,
};

enum convoy_picture_fit {
    /// The whole picture is resized to the size.
    CONVOY_PICTURE_STRETCH = 0,
    /// The picture is resized so that it just covers the size, and its middle is kept.
    CONVOY_PICTURE_CROP = 1,
};

enum convoy_picture_trouble {
    CONVOY_PICTURE_FINE = 0,
    CONVOY_PICTURE_EMPTY,
    CONVOY_PICTURE_UNKNOWN_FORMAT,
    CONVOY_PICTURE_REFUSED_FORMAT,
    CONVOY_PICTURE_TRUNCATED,
    CONVOY_PICTURE_DAMAGED,
    CONVOY_PICTURE_UNSUPPORTED,
    CONVOY_PICTURE_TOO_LARGE,
    CONVOY_PICTURE_TOO_MANY_SCANS,
    CONVOY_PICTURE_SIXTEEN_BIT,
    CONVOY_PICTURE_NO_MEMORY,
    CONVOY_PICTURE_BAD_OPTION,
};

/// What a file says of itself.
struct convoy_picture_facts {
    /// Pixels of the file, before it is turned, cropped or resized.
    int64_t width, height;
    int32_t format;
    /// Numbers a pixel: grey 1, grey and alpha 2, colour or palette 3, colour and alpha or CMYK 4.
    int32_t channels;
    /// Bits a number: 1, 2, 4, 8 or 16; of a palette, bits an index.
    int32_t bit_depth;
    /// EXIF's orientation, 1 to 8; 1 where the file has none.
    int32_t orientation;
    /// Whether the file has an alpha channel, or colours that are transparent.
    int32_t has_alpha;
    int32_t has_palette;
    int32_t is_cmyk;
    /// Whether the file is a progressive JPEG or an interlaced PNG.
    int32_t is_progressive;
    /// Bytes within a JPEG that belong to nothing, known after decoding.
    int64_t stray_byte_count;
};

struct convoy_picture_failure {
    int32_t trouble;
    /// The place in the file, in bytes; -1 when it is not known.
    int64_t offset;
    char expected[112];
    char found[240];
    char advice[160];
};

struct convoy_picture_options {
    /// The size of the result; 0 by 0 keeps the picture's own.
    int32_t height, width;
    /// 1, 3, or 0: 1 for a grey file and 3 for any other.
    int32_t channels;
    int32_t filter, fit, alpha, sixteen_bit;
    /// Whether the picture is turned as its EXIF orientation says.
    int32_t applies_orientation;
    /// Larger pictures are refused before they are decoded.
    int64_t maximum_pixel_count;
};

/// Memory that is used again for each picture.
typedef struct convoy_picture_scratch convoy_picture_scratch;

/// Returns a scratch, or NULL when there is no memory.
convoy_picture_scratch *convoy_picture_scratch_create(void);
void convoy_picture_scratch_free(convoy_picture_scratch *scratch);

/// Reads what a file says of itself, and decodes nothing. Returns a convoy_picture_trouble.
int convoy_picture_probe(const uint8_t *bytes, size_t byte_count,
                         struct convoy_picture_facts *facts,
                         struct convoy_picture_failure *failure);

/// A picture that is decoded, converted and turned, but neither cropped nor resized yet.
struct convoy_picture_opened {
    struct convoy_picture_facts facts;
    /// The size of the result.
    int32_t width, height, channels;
};

/// Decodes a picture into the scratch. Returns a convoy_picture_trouble.
int convoy_picture_open(convoy_picture_scratch *scratch, const uint8_t *bytes, size_t byte_count,
                        const struct convoy_picture_options *options,
                        struct convoy_picture_opened *opened,
                        struct convoy_picture_failure *failure);

/// Crops and resizes the picture that was opened last, and writes `opened.height * opened.width *
/// opened.channels` bytes. Returns a convoy_picture_trouble.
int convoy_picture_finish(convoy_picture_scratch *scratch,
                          const struct convoy_picture_options *options, int is_planar,
                          uint8_t *destination, struct convoy_picture_failure *failure);

/// Crops planar pixels [C, H, W] to a box within them and resizes the box. Returns a
/// convoy_picture_trouble.
int convoy_picture_resize(convoy_picture_scratch *scratch, const uint8_t *source, int32_t channels,
                          int32_t height, int32_t width, int32_t box_top, int32_t box_left,
                          int32_t box_height, int32_t box_width, int32_t new_height,
                          int32_t new_width, int32_t filter, uint8_t *destination,
                          struct convoy_picture_failure *failure);

/// Writes a PNG of interleaved pixels with 1 (grey) or 3 channels; equal pixels give equal bytes.
/// Returns malloc'ed bytes and their count, or NULL when there is no memory.
uint8_t *convoy_picture_encode_png(int32_t width, int32_t height, int32_t channels,
                                   const uint8_t *pixels, size_t *byte_count);

/// Writes the versions of the libraries and of the code here that decide pixels.
void convoy_picture_versions(char *text, size_t capacity);

#endif
