// A small program over Sources/CPictures, for Scripts/engines/pictures.sh and for
// Scripts/bench/pictures.sh.
//
//   picture_bits                                 reads commands, a line each, and answers each
//   picture_bits speed FILES SIZE                decodes and resizes the files of a list
//   picture_bits resize-speed H W NEW_H NEW_W ROUNDS
//
// Commands, with options as numbers of convoy_pictures.h:
//   probe FILE
//   decode CHANNELS FILTER FIT ORIENTATION ALPHA SIXTEEN HEIGHT WIDTH PLANAR MOST_PIXELS FILE
//   box CHANNELS FILTER TOP LEFT BOX_HEIGHT BOX_WIDTH HEIGHT WIDTH FILE
//   jpeg WIDTH HEIGHT CHANNELS QUALITY ACROSS DOWN PROGRESSIVE RESTART ARITHMETIC FILE, then the
//     pixels; PROGRESSIVE 2 writes 631 scans
// An answer is "ok HEIGHT WIDTH CHANNELS", a newline and the bytes, or else
// "error TROUBLE OFFSET: TEXT".
#include "convoy_pictures.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

#include <jpeglib.h>

static void die(const char *text) {
    fprintf(stderr, "picture_bits: %s\n", text);
    exit(70);
}

static uint8_t *read_file(const char *path, size_t *count) {
    FILE *file = fopen(path, "rb");
    if (file == NULL) die(path);
    fseek(file, 0, SEEK_END);
    *count = (size_t)ftell(file);
    rewind(file);
    // Exactly as many bytes as the file has, so that a sanitizer sees each one read beyond them.
    uint8_t *bytes = malloc(*count + (*count == 0));
    if (bytes == NULL || fread(bytes, 1, *count, file) != *count) die(path);
    fclose(file);
    return bytes;
}

static void answer_error(const struct convoy_picture_failure *failure) {
    printf("error %d %lld: expected %s, found %s; %s\n", failure->trouble,
           (long long)failure->offset, failure->expected, failure->found, failure->advice);
}

static void answer(int height, int width, int channels, const uint8_t *bytes) {
    printf("ok %d %d %d\n", height, width, channels);
    fwrite(bytes, 1, (size_t)height * (size_t)width * (size_t)channels, stdout);
}

static struct convoy_picture_options options_for(int channels) {
    return (struct convoy_picture_options){
        .channels = channels,
        .filter = CONVOY_PICTURE_BILINEAR,
        .maximum_pixel_count = 178956970,
    };
}

static void probe(const char *path) {
    size_t count;
    uint8_t *bytes = read_file(path, &count);
    struct convoy_picture_facts facts;
    struct convoy_picture_failure failure;
    if (convoy_picture_probe(bytes, count, &facts, &failure) != 0) {
        answer_error(&failure);
    } else {
        printf("ok format %d width %lld height %lld channels %d bits %d orientation %d alpha %d "
               "palette %d cmyk %d progressive %d\n",
               facts.format, (long long)facts.width, (long long)facts.height, facts.channels,
               facts.bit_depth, facts.orientation, facts.has_alpha, facts.has_palette,
               facts.is_cmyk, facts.is_progressive);
    }
    free(bytes);
}

static void decode(convoy_picture_scratch *scratch, struct convoy_picture_options options,
                   int is_planar, const char *path) {
    size_t count;
    uint8_t *bytes = read_file(path, &count);
    struct convoy_picture_opened opened;
    struct convoy_picture_failure failure;
    if (convoy_picture_open(scratch, bytes, count, &options, &opened, &failure) != 0) {
        answer_error(&failure);
    } else {
        uint8_t *out =
            malloc((size_t)opened.height * (size_t)opened.width * (size_t)opened.channels);
        if (convoy_picture_finish(scratch, &options, is_planar, out, &failure) != 0) {
            answer_error(&failure);
        } else {
            answer(opened.height, opened.width, opened.channels, out);
        }
        free(out);
    }
    free(bytes);
}

static void resize_box(convoy_picture_scratch *scratch, const int *n, const char *path) {
    size_t count;
    uint8_t *bytes = read_file(path, &count);
    struct convoy_picture_options options = options_for(n[0]);
    struct convoy_picture_opened opened;
    struct convoy_picture_failure failure;
    if (convoy_picture_open(scratch, bytes, count, &options, &opened, &failure) != 0) die(path);
    uint8_t *planar = malloc((size_t)opened.height * (size_t)opened.width * (size_t)n[0]);
    uint8_t *out = malloc((size_t)n[6] * (size_t)n[7] * (size_t)n[0]);
    if (convoy_picture_finish(scratch, &options, 1, planar, &failure) != 0) die(path);
    if (convoy_picture_resize(scratch, planar, n[0], opened.height, opened.width, n[2], n[3], n[4],
                              n[5], n[6], n[7], n[1], out, &failure) != 0) {
        answer_error(&failure);
    } else {
        answer(n[6], n[7], n[0], out);
    }
    free(out);
    free(planar);
    free(bytes);
}

/// Fills in scans of a grey picture, each with one more bit of one coefficient. Returns their
/// count.
static int many_scans(jpeg_scan_info *scans) {
    int count = 0;
    scans[count++] = (jpeg_scan_info){.comps_in_scan = 1};
    for (int place = 1; place < 64; place++) {
        for (int bit = 9; bit >= 0; bit--) {
            scans[count++] = (jpeg_scan_info){
                .comps_in_scan = 1,
                .Ss = place,
                .Se = place,
                .Ah = bit == 9 ? 0 : bit + 1,
                .Al = bit,
            };
        }
    }
    return count;
}

static void write_jpeg(const int *n, const char *path) {
    const size_t row = (size_t)n[0] * (size_t)n[2];
    const size_t count = row * (size_t)n[1];
    uint8_t *pixels = malloc(count);
    if (fread(pixels, 1, count, stdin) != count) die("pixels are missing");
    FILE *file = fopen(path, "wb");
    if (file == NULL) die(path);
    struct jpeg_compress_struct jpeg;
    struct jpeg_error_mgr errors;
    jpeg.err = jpeg_std_error(&errors);
    jpeg_create_compress(&jpeg);
    jpeg_stdio_dest(&jpeg, file);
    jpeg.image_width = (JDIMENSION)n[0];
    jpeg.image_height = (JDIMENSION)n[1];
    jpeg.input_components = n[2];
    jpeg.in_color_space = n[2] == 1 ? JCS_GRAYSCALE : n[2] == 3 ? JCS_RGB : JCS_CMYK;
    jpeg_set_defaults(&jpeg);
    if (n[2] == 4) jpeg_set_colorspace(&jpeg, JCS_YCCK);
    jpeg_set_quality(&jpeg, n[3], TRUE);
    jpeg.comp_info[0].h_samp_factor = n[4];
    jpeg.comp_info[0].v_samp_factor = n[5];
    jpeg.restart_interval = (unsigned)n[7];
    jpeg.arith_code = n[8] != 0;
    jpeg_scan_info scans[1 + 63 * 10];
    if (n[6] == 1) jpeg_simple_progression(&jpeg);
    if (n[6] == 2) {
        jpeg.num_scans = many_scans(scans);
        jpeg.scan_info = scans;
    }
    jpeg_start_compress(&jpeg, TRUE);
    while (jpeg.next_scanline < jpeg.image_height) {
        JSAMPROW line = pixels + jpeg.next_scanline * row;
        jpeg_write_scanlines(&jpeg, &line, 1);
    }
    jpeg_finish_compress(&jpeg);
    jpeg_destroy_compress(&jpeg);
    fclose(file);
    free(pixels);
    printf("ok 0 0 0\n");
}

/// Reads `count` numbers at the begin of a text and returns what follows the last one.
static char *numbers(char *text, int *numbers, int count) {
    for (int i = 0; i < count; i++) numbers[i] = (int)strtol(text, &text, 10);
    return *text == ' ' ? text + 1 : text;
}

static void obey(convoy_picture_scratch *scratch, char *line) {
    int n[10];
    if (strncmp(line, "probe ", 6) == 0) {
        probe(line + 6);
    } else if (strncmp(line, "decode ", 7) == 0) {
        const char *path = numbers(line + 7, n, 10);
        const struct convoy_picture_options options = {
            .channels = n[0],
            .filter = n[1],
            .fit = n[2],
            .applies_orientation = n[3],
            .alpha = n[4],
            .sixteen_bit = n[5],
            .height = n[6],
            .width = n[7],
            .maximum_pixel_count = n[9],
        };
        decode(scratch, options, n[8], path);
    } else if (strncmp(line, "box ", 4) == 0) {
        const char *path = numbers(line + 4, n, 8);
        resize_box(scratch, n, path);
    } else if (strncmp(line, "jpeg ", 5) == 0) {
        const char *path = numbers(line + 5, n, 9);
        write_jpeg(n, path);
    } else {
        die("a command is unknown");
    }
    fflush(stdout);
}

static double seconds(void) {
    struct timespec now;
    clock_gettime(CLOCK_MONOTONIC, &now);
    return (double)now.tv_sec + 1e-9 * (double)now.tv_nsec;
}

/// Decodes each file of a list to RGB pixels of SIZE by SIZE.
static int measure_files(const char *list_path, int size) {
    convoy_picture_scratch *scratch = convoy_picture_scratch_create();
    struct convoy_picture_options options = options_for(3);
    options.height = options.width = size;
    uint8_t *out = malloc((size_t)size * (size_t)size * 3);
    FILE *list = fopen(list_path, "r");
    if (list == NULL) die(list_path);
    char path[4096];
    int count = 0;
    const double begin = seconds();
    while (fgets(path, sizeof path, list) != NULL) {
        path[strcspn(path, "\n")] = 0;
        size_t byte_count;
        uint8_t *bytes = read_file(path, &byte_count);
        struct convoy_picture_opened opened;
        struct convoy_picture_failure failure;
        if (convoy_picture_open(scratch, bytes, byte_count, &options, &opened, &failure) != 0 ||
            convoy_picture_finish(scratch, &options, 1, out, &failure) != 0) {
            answer_error(&failure);
            return 1;
        }
        free(bytes);
        count++;
    }
    printf("%.1f\n", count / (seconds() - begin));
    fclose(list);
    free(out);
    convoy_picture_scratch_free(scratch);
    return 0;
}

/// Prints how often a second RGB pixels [H, W, C] of noise are resized.
static int measure_resize(const int *n) {
    const size_t count = (size_t)n[0] * (size_t)n[1] * 3;
    uint8_t *pixels = malloc(count);
    for (size_t i = 0; i < count; i++) pixels[i] = (uint8_t)(i * 2654435761u >> 13);
    size_t byte_count;
    uint8_t *png = convoy_picture_encode_png(n[1], n[0], 3, pixels, &byte_count);
    convoy_picture_scratch *scratch = convoy_picture_scratch_create();
    struct convoy_picture_options options = options_for(3);
    options.height = n[2];
    options.width = n[3];
    struct convoy_picture_opened opened;
    struct convoy_picture_failure failure;
    if (convoy_picture_open(scratch, png, byte_count, &options, &opened, &failure) != 0) return 1;
    uint8_t *out = malloc((size_t)n[2] * (size_t)n[3] * 3);
    double best = 1e9;
    for (int turn = 0; turn < 5; turn++) {
        const double begin = seconds();
        for (int i = 0; i < n[4]; i++) convoy_picture_finish(scratch, &options, 0, out, &failure);
        const double spent = seconds() - begin;
        if (spent < best) best = spent;
    }
    printf("%.1f\n", n[4] / best);
    free(out);
    free(png);
    free(pixels);
    convoy_picture_scratch_free(scratch);
    return 0;
}

int main(int argument_count, char **arguments) {
    if (argument_count == 4 && strcmp(arguments[1], "speed") == 0) {
        return measure_files(arguments[2], atoi(arguments[3]));
    }
    if (argument_count == 7 && strcmp(arguments[1], "resize-speed") == 0) {
        int n[5];
        for (int i = 0; i < 5; i++) n[i] = atoi(arguments[2 + i]);
        return measure_resize(n);
    }
    convoy_picture_scratch *scratch = convoy_picture_scratch_create();
    char line[4096];
    while (fgets(line, sizeof line, stdin) != NULL) {
        line[strcspn(line, "\n")] = 0;
        obey(scratch, line);
    }
    convoy_picture_scratch_free(scratch);
    return 0;
}
