#include "picture.h"

#include <webp/decode.h>

static uint32_t little_endian(const uint8_t *bytes) {
    return (uint32_t)bytes[3] << 24 | (uint32_t)bytes[2] << 16 | (uint32_t)bytes[1] << 8 | bytes[0];
}

/// Walks over the chunks to EXIF.
static int32_t orientation(struct convoy_source source) {
    size_t place = 12;
    while (source.byte_count >= 8 && place <= source.byte_count - 8) {
        const size_t length = little_endian(source.bytes + place + 4);
        if (length > source.byte_count - place - 8) break;
        if (memcmp(source.bytes + place, "EXIF", 4) == 0) {
            return convoy_exif_orientation(source.bytes + place + 8, length);
        }
        place += 8 + length + (length & 1);
    }
    return 1;
}

static int fail(struct convoy_picture_failure *failure, int trouble, const char *found) {
    convoy_fail(failure, trouble, -1, "a whole WebP", "%s", found);
    return convoy_advise(failure, "get the file again, or leave it out");
}

static int fail_with(VP8StatusCode status, struct convoy_picture_failure *failure) {
    switch (status) {
    case VP8_STATUS_OUT_OF_MEMORY:
        return convoy_fail(failure, CONVOY_PICTURE_NO_MEMORY, -1, "memory to decode the WebP",
                           "none");
    case VP8_STATUS_UNSUPPORTED_FEATURE:
        return fail(failure, CONVOY_PICTURE_UNSUPPORTED, "a feature that libwebp does not have");
    case VP8_STATUS_SUSPENDED:
    case VP8_STATUS_NOT_ENOUGH_DATA:
        return fail(failure, CONVOY_PICTURE_TRUNCATED, "a file that ends within the picture");
    default:
        return fail(failure, CONVOY_PICTURE_DAMAGED, "a stream that cannot be decoded");
    }
}

static int read_features(struct convoy_source source, WebPBitstreamFeatures *features,
                         struct convoy_picture_facts *facts,
                         struct convoy_picture_failure *failure) {
    facts->format = CONVOY_PICTURE_WEBP;
    const uint64_t length = 8 + (uint64_t)little_endian(source.bytes + 4);
    if (length > source.byte_count) {
        convoy_fail(failure, CONVOY_PICTURE_TRUNCATED, (int64_t)source.byte_count,
                    "the length that the WebP's header gives", "%lld of %lld bytes",
                    (long long)source.byte_count, (long long)length);
        return convoy_advise(failure, "get the file again, or leave it out");
    }
    const VP8StatusCode status = WebPGetFeatures(source.bytes, source.byte_count, features);
    if (status != VP8_STATUS_OK) return fail_with(status, failure);
    facts->width = features->width;
    facts->height = features->height;
    facts->channels = features->has_alpha ? 4 : 3;
    facts->bit_depth = 8;
    facts->has_alpha = features->has_alpha != 0;
    facts->orientation = orientation(source);
    if (features->has_animation) {
        convoy_fail(failure, CONVOY_PICTURE_REFUSED_FORMAT, -1, "a still picture",
                    "an animated WebP");
        return convoy_advise(failure, "write one of its pictures as a file of its own");
    }
    return CONVOY_PICTURE_FINE;
}

int convoy_probe_webp(struct convoy_source source, struct convoy_picture_facts *facts,
                      struct convoy_picture_failure *failure) {
    WebPBitstreamFeatures features;
    return read_features(source, &features, facts, failure);
}

int convoy_decode_webp(convoy_picture_scratch *scratch, struct convoy_source source,
                       const struct convoy_picture_options *options,
                       struct convoy_picture_facts *facts,
                       struct convoy_picture_failure *failure) {
    WebPDecoderConfig config;
    if (!WebPInitDecoderConfig(&config)) {
        return convoy_fail(failure, CONVOY_PICTURE_UNSUPPORTED, -1, "another libwebp",
                           "a libwebp whose interface differs");
    }
    int trouble = read_features(source, &config.input, facts, failure);
    if (trouble == 0) trouble = convoy_check_size(facts, options->maximum_pixel_count, failure);
    if (trouble != 0) return trouble;
    const int32_t channels = convoy_result_channels(facts, options);
    trouble = convoy_reserve_pixels(scratch, facts, channels, failure);
    if (trouble != 0) return trouble;

    const size_t width = (size_t)facts->width, height = (size_t)facts->height;
    const size_t step = facts->has_alpha ? 4 : 3;
    const bool is_direct = !facts->has_alpha && channels == 3;
    uint8_t *rows = is_direct ? scratch->pixels.bytes
                              : convoy_reserve(&scratch->rows, width * height * step);
    if (rows == NULL) {
        return convoy_fail(failure, CONVOY_PICTURE_NO_MEMORY, -1, "memory for the WebP", "none");
    }
    config.output.colorspace = facts->has_alpha ? MODE_RGBA : MODE_RGB;
    config.output.is_external_memory = 1;
    config.output.u.RGBA.rgba = rows;
    config.output.u.RGBA.stride = (int)(width * step);
    config.output.u.RGBA.size = width * height * step;
    const VP8StatusCode status = WebPDecode(source.bytes, source.byte_count, &config);
    WebPFreeDecBuffer(&config.output);
    if (status != VP8_STATUS_OK) return fail_with(status, failure);

    for (size_t y = 0; y < height && !is_direct; y++) {
        const uint8_t *row = rows + y * width * step;
        uint8_t *out = scratch->pixels.bytes + y * width * (size_t)channels;
        if (facts->has_alpha) {
            convoy_alpha_row(row, out, width, 4, channels, options->alpha);
        } else {
            convoy_rgb_row(row, out, width, channels);
        }
    }
    return CONVOY_PICTURE_FINE;
}
