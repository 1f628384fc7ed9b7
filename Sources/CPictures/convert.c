#include "picture.h"

// Each function computes what Pillow's Image.convert("L") or convert("RGB") does.

void convoy_grey_row(const uint8_t *grey, uint8_t *out, size_t count, int32_t channels) {
    if (channels == 1) {
        memcpy(out, grey, count);
        return;
    }
    for (size_t x = 0; x < count; x++) out[3 * x] = out[3 * x + 1] = out[3 * x + 2] = grey[x];
}

void convoy_rgb_row(const uint8_t *rgb, uint8_t *out, size_t count, int32_t channels) {
    if (channels == 3) {
        memcpy(out, rgb, 3 * count);
        return;
    }
    for (size_t x = 0; x < count; x++, rgb += 3) out[x] = convoy_grey(rgb[0], rgb[1], rgb[2]);
}

static void write_colour(uint8_t *out, size_t x, const uint8_t rgb[3], int32_t channels) {
    if (channels == 1) {
        out[x] = convoy_grey(rgb[0], rgb[1], rgb[2]);
    } else {
        memcpy(out + 3 * x, rgb, 3);
    }
}

void convoy_cmyk_row(const uint8_t *cmyk, uint8_t *out, size_t count, int32_t channels) {
    for (size_t x = 0; x < count; x++) {
        const uint8_t *from = cmyk + 4 * x;
        const uint32_t light = from[3];
        uint8_t rgb[3];
        for (size_t c = 0; c < 3; c++) {
            rgb[c] = (uint8_t)(light - convoy_divide_255((255u - from[c]) * light));
        }
        write_colour(out, x, rgb, channels);
    }
}

void convoy_alpha_row(const uint8_t *pixels, uint8_t *out, size_t count, int32_t step,
                      int32_t channels, int32_t alpha) {
    const bool is_grey = step == 2;
    const uint32_t behind = alpha == CONVOY_PICTURE_ALPHA_WHITE ? 255 : 0;
    for (size_t x = 0; x < count; x++) {
        const uint8_t *from = pixels + x * (size_t)step;
        const uint32_t opacity = alpha == CONVOY_PICTURE_ALPHA_DROP ? 255 : from[step - 1];
        uint8_t rgb[3];
        for (size_t c = 0; c < 3; c++) {
            const uint32_t colour = from[is_grey ? 0 : c];
            rgb[c] = (uint8_t)convoy_divide_255(behind * (255 - opacity) + colour * opacity);
        }
        write_colour(out, x, rgb, channels);
    }
}
