#include "picture.h"

#include <setjmp.h>
#include <stdio.h>

#include <jerror.h>
#include <jpeglib.h>

// libjpeg's defaults are the settings of Pillow: the slow integer transform, fancy upsampling, and
// smoothing between the blocks of a progressive file that lacks scans.

/// The longest block of EXIF that is kept, in bytes: a whole segment.
#define EXIF_LIMIT 0xFFFF
/// Memory for the coefficients of a progressive file, in bytes a pixel that is allowed.
#define COEFFICIENT_BYTES_PER_PIXEL 16
#define LEAST_MEMORY (64L << 20)
/// Decoding reads all coefficients again for each scan, at most this many times the pixels that are
/// allowed.
#define MOST_SCANNED 16

struct reader {
    struct jpeg_decompress_struct jpeg;
    struct jpeg_error_mgr errors;
    struct jpeg_source_mgr input;
    struct jpeg_progress_mgr progress;
    jmp_buf escape;
    struct convoy_source source;
    struct convoy_picture_facts *facts;
    struct convoy_picture_failure *failure;
    /// For decoding only.
    const struct convoy_picture_options *options;
    convoy_picture_scratch *scratch;
    int64_t maximum_pixel_count;
    bool is_created;
};

static int64_t place(const struct reader *reader) {
    return (int64_t)(reader->source.byte_count - reader->input.bytes_in_buffer);
}

/// Ends decoding with a failure that has been filled in.
__attribute__((noreturn)) static void escape(struct reader *reader) {
    longjmp(reader->escape, 1);
}

static int trouble_of(int code) {
    switch (code) {
    case JERR_OUT_OF_MEMORY:
    case JERR_NO_BACKING_STORE:
        return CONVOY_PICTURE_NO_MEMORY;
    case JERR_BAD_PRECISION:
    case JERR_SOF_UNSUPPORTED:
    case JERR_CONVERSION_NOTIMPL:
    case JERR_ARITH_NOTIMPL:
    case JERR_NOT_COMPILED:
    case JERR_FRACT_SAMPLE_NOTIMPL:
        return CONVOY_PICTURE_UNSUPPORTED;
    default:
        return CONVOY_PICTURE_DAMAGED;
    }
}

__attribute__((noreturn)) static void fail_as_libjpeg_says(j_common_ptr jpeg) {
    struct reader *reader = jpeg->client_data;
    char text[JMSG_LENGTH_MAX];
    jpeg->err->format_message(jpeg, text);
    const int trouble = trouble_of(jpeg->err->msg_code);
    const char *expected = trouble == CONVOY_PICTURE_UNSUPPORTED ? "a JPEG of 8 bits a number"
                           : trouble == CONVOY_PICTURE_NO_MEMORY ? "memory to decode the JPEG"
                                                                 : "a whole JPEG";
    convoy_fail(reader->failure, trouble, place(reader), expected, "%s", text);
    convoy_advise(reader->failure, trouble == CONVOY_PICTURE_UNSUPPORTED
                                       ? "write it as a baseline or progressive JPEG"
                                       : "get the file again, or leave it out");
    escape(reader);
}

/// Fails at warnings that mean lost pixels. Libjpeg would go on and show something else.
static void take_message(j_common_ptr jpeg, int level) {
    if (level >= 0) return;
    struct reader *reader = jpeg->client_data;
    switch (jpeg->err->msg_code) {
    case JWRN_JFIF_MAJOR:
    case JWRN_ADOBE_XFORM:
    case JWRN_NOT_SEQUENTIAL:
    case JWRN_BOGUS_ICC:
        return;
    case JWRN_EXTRANEOUS_DATA: {
        const int marker = jpeg->err->msg_parm.i[1];
        if (marker >= 0xD0 && marker <= 0xD7) break;
        // Bytes between two segments, or behind the last of the pixels.
        reader->facts->stray_byte_count += jpeg->err->msg_parm.i[0];
        return;
    }
    default: break;
    }
    fail_as_libjpeg_says(jpeg);
}

static void print_nothing(j_common_ptr jpeg) { (void)jpeg; }
static void do_nothing(j_decompress_ptr jpeg) { (void)jpeg; }

__attribute__((noreturn)) static void fail_at_end(struct reader *reader) {
    const int64_t end = (int64_t)reader->source.byte_count;
    convoy_fail(reader->failure, CONVOY_PICTURE_TRUNCATED, end, "a JPEG with its end marker",
                "a file that ends after %lld bytes, within the picture", (long long)end);
    convoy_advise(reader->failure, "get the file again, or leave it out");
    escape(reader);
}

static boolean read_on(j_decompress_ptr jpeg) { fail_at_end(jpeg->client_data); }

static void skip(j_decompress_ptr jpeg, long count) {
    if (count <= 0) return;
    struct reader *reader = jpeg->client_data;
    if ((size_t)count > reader->input.bytes_in_buffer) fail_at_end(reader);
    reader->input.next_input_byte += count;
    reader->input.bytes_in_buffer -= (size_t)count;
}

/// Bounds the scans of a progressive file.
static void count_scans(j_common_ptr jpeg) {
    struct reader *reader = jpeg->client_data;
    if (!jpeg->is_decompressor) return;
    const int64_t scans = reader->jpeg.input_scan_number;
    const int64_t pixels = (int64_t)reader->jpeg.image_width * reader->jpeg.image_height;
    if (scans <= CONVOY_MOST_SCANS &&
        (scans <= MOST_SCANNED || scans * pixels <= MOST_SCANNED * reader->maximum_pixel_count)) {
        return;
    }
    convoy_fail(reader->failure, CONVOY_PICTURE_TOO_MANY_SCANS, place(reader),
                "a JPEG of few scans", "%lld scans and more, of %lld pixels", (long long)scans,
                (long long)pixels);
    convoy_advise(reader->failure, "write the file again, as a baseline JPEG");
    escape(reader);
}

static void create(struct reader *reader) {
    reader->jpeg.err = jpeg_std_error(&reader->errors);
    reader->errors.error_exit = fail_as_libjpeg_says;
    reader->errors.emit_message = take_message;
    reader->errors.output_message = print_nothing;
    reader->jpeg.client_data = reader;
    jpeg_create_decompress(&reader->jpeg);
    reader->is_created = true;
    const int64_t memory = reader->maximum_pixel_count * COEFFICIENT_BYTES_PER_PIXEL;
    reader->jpeg.mem->max_memory_to_use = memory < LEAST_MEMORY ? LEAST_MEMORY : (long)memory;
    reader->progress.progress_monitor = count_scans;
    reader->jpeg.progress = &reader->progress;
    reader->input = (struct jpeg_source_mgr){
        .next_input_byte = reader->source.bytes,
        .bytes_in_buffer = reader->source.byte_count,
        .init_source = do_nothing,
        .fill_input_buffer = read_on,
        .skip_input_data = skip,
        .resync_to_restart = jpeg_resync_to_restart,
        .term_source = do_nothing,
    };
    reader->jpeg.src = &reader->input;
    jpeg_save_markers(&reader->jpeg, JPEG_APP0 + 1, EXIF_LIMIT);
}

static int32_t orientation(const struct reader *reader) {
    static const char begin[] = "Exif\0";
    for (jpeg_saved_marker_ptr marker = reader->jpeg.marker_list; marker != NULL;
         marker = marker->next) {
        if (marker->data_length > sizeof begin && memcmp(marker->data, begin, sizeof begin) == 0) {
            return convoy_exif_orientation(marker->data + sizeof begin,
                                           marker->data_length - sizeof begin);
        }
    }
    return 1;
}

static void read_header(struct reader *reader) {
    create(reader);
    jpeg_read_header(&reader->jpeg, TRUE);
    struct convoy_picture_facts *facts = reader->facts;
    facts->format = CONVOY_PICTURE_JPEG;
    facts->width = reader->jpeg.image_width;
    facts->height = reader->jpeg.image_height;
    facts->channels = reader->jpeg.num_components;
    facts->bit_depth = reader->jpeg.data_precision;
    facts->orientation = orientation(reader);
    facts->is_cmyk = facts->channels == 4;
    facts->is_progressive = reader->jpeg.progressive_mode;
    if (facts->channels != 1 && facts->channels != 3 && facts->channels != 4) {
        convoy_fail(reader->failure, CONVOY_PICTURE_UNSUPPORTED, -1,
                    "a JPEG with 1, 3 or 4 channels", "%d channels", facts->channels);
        escape(reader);
    }
}

/// Runs `body` until it returns or escapes. The reader belongs to the caller, for setjmp leaves
/// undefined what changes in the variables of the function that calls it.
static int run(struct reader *reader, void (*body)(struct reader *)) {
    if (setjmp(reader->escape) == 0) body(reader);
    if (reader->is_created) jpeg_destroy_decompress(&reader->jpeg);
    return reader->failure->trouble;
}

int convoy_probe_jpeg(struct convoy_source source, struct convoy_picture_facts *facts,
                      struct convoy_picture_failure *failure) {
    struct reader reader = {.source = source, .facts = facts, .failure = failure};
    return run(&reader, read_header);
}

/// Fails where a file is too short for its pixels, before memory is reserved for them. With Huffman
/// codes each block needs a bit.
static void check_byte_count(struct reader *reader) {
    if (reader->jpeg.arith_code) return;
    const int64_t blocks = ((int64_t)reader->jpeg.image_width + 7) / 8 *
                           (((int64_t)reader->jpeg.image_height + 7) / 8);
    if ((int64_t)reader->source.byte_count >= blocks / 8 / 16) return;
    convoy_fail(reader->failure, CONVOY_PICTURE_TRUNCATED, (int64_t)reader->source.byte_count,
                "a JPEG with its end marker", "%lld bytes for %lld by %lld pixels",
                (long long)reader->source.byte_count, (long long)reader->facts->width,
                (long long)reader->facts->height);
    convoy_advise(reader->failure, "get the file again, or leave it out");
    escape(reader);
}

static void read_rows(struct reader *reader, int32_t channels) {
    convoy_picture_scratch *scratch = reader->scratch;
    struct jpeg_decompress_struct *jpeg = &reader->jpeg;
    const size_t width = jpeg->output_width;
    const bool is_direct = jpeg->output_components == channels;
    while (jpeg->output_scanline < jpeg->output_height) {
        uint8_t *rows[4];
        const size_t first = jpeg->output_scanline;
        for (size_t i = 0; i < 4; i++) {
            const size_t row = first + i < jpeg->output_height ? first + i : first;
            rows[i] = is_direct ? scratch->pixels.bytes + row * width * (size_t)channels
                                : scratch->rows.bytes + i * width * (size_t)jpeg->output_components;
        }
        const JDIMENSION left = jpeg->output_height - jpeg->output_scanline;
        const JDIMENSION count = jpeg_read_scanlines(jpeg, rows, left < 4 ? left : 4);
        for (size_t i = 0; i < count && !is_direct; i++) {
            uint8_t *out = scratch->pixels.bytes + (first + i) * width * (size_t)channels;
            switch (jpeg->output_components) {
            case 1: convoy_grey_row(rows[i], out, width, channels); break;
            case 3: convoy_rgb_row(rows[i], out, width, channels); break;
            default: convoy_cmyk_row(rows[i], out, width, channels); break;
            }
        }
    }
}

static void decode(struct reader *reader) {
    convoy_picture_scratch *scratch = reader->scratch;
    read_header(reader);
    if (convoy_check_size(reader->facts, reader->maximum_pixel_count, reader->failure) != 0) {
        escape(reader);
    }
    check_byte_count(reader);
    struct jpeg_decompress_struct *jpeg = &reader->jpeg;
    switch (jpeg->num_components) {
    case 1: jpeg->out_color_space = JCS_GRAYSCALE; break;
    case 3: jpeg->out_color_space = JCS_RGB; break;
    default: jpeg->out_color_space = JCS_CMYK; break;
    }
    const int32_t channels = convoy_result_channels(reader->facts, reader->options);
    if (convoy_reserve_pixels(scratch, reader->facts, channels, reader->failure) != 0) {
        escape(reader);
    }
    jpeg_start_decompress(jpeg);
    if (convoy_reserve(&scratch->rows, (size_t)jpeg->output_width * 4 *
                                           (size_t)jpeg->output_components) == NULL) {
        convoy_fail(reader->failure, CONVOY_PICTURE_NO_MEMORY, -1, "memory for four rows", "none");
        escape(reader);
    }
    read_rows(reader, channels);
    jpeg_finish_decompress(jpeg);
}

int convoy_decode_jpeg(convoy_picture_scratch *scratch, struct convoy_source source,
                       const struct convoy_picture_options *options,
                       struct convoy_picture_facts *facts,
                       struct convoy_picture_failure *failure) {
    struct reader reader = {
        .source = source,
        .facts = facts,
        .failure = failure,
        .options = options,
        .scratch = scratch,
        .maximum_pixel_count = options->maximum_pixel_count,
    };
    return run(&reader, decode);
}
