#include "picture.h"

/// Returns a number of two or four bytes in the byte order of a block of EXIF.
static uint32_t exif_number(const uint8_t *bytes, int byte_count, bool is_little) {
    uint32_t number = 0;
    for (int i = 0; i < byte_count; i++) {
        number = number << 8 | bytes[is_little ? byte_count - 1 - i : i];
    }
    return number;
}

int32_t convoy_exif_orientation(const uint8_t *bytes, size_t byte_count) {
    static const char begin[] = "Exif\0";
    if (byte_count > sizeof begin && memcmp(bytes, begin, sizeof begin) == 0) {
        bytes += sizeof begin;
        byte_count -= sizeof begin;
    }
    if (byte_count < 14) return 1;
    const bool is_little = memcmp(bytes, "II\x2A\0", 4) == 0;
    if (!is_little && memcmp(bytes, "MM\0\x2A", 4) != 0) return 1;
    const size_t place = exif_number(bytes + 4, 4, is_little);
    if (place > byte_count - 2) return 1;
    const size_t entry_count = exif_number(bytes + place, 2, is_little);
    const size_t room = (byte_count - place - 2) / 12;
    for (size_t i = 0; i < entry_count && i < room; i++) {
        const uint8_t *entry = bytes + place + 2 + 12 * i;
        if (exif_number(entry, 2, is_little) != 0x0112) continue;
        if (exif_number(entry + 4, 4, is_little) != 1) return 1;
        uint32_t value = 0;
        switch (exif_number(entry + 2, 2, is_little)) {
        case 1: value = entry[8]; break;
        case 3: value = exif_number(entry + 8, 2, is_little); break;
        case 4: value = exif_number(entry + 8, 4, is_little); break;
        default: break;
        }
        return value >= 1 && value <= 8 ? (int32_t)value : 1;
    }
    return 1;
}

int convoy_turn(convoy_picture_scratch *scratch, int32_t orientation,
                struct convoy_picture_failure *failure) {
    if (orientation <= 1 || orientation > 8) return CONVOY_PICTURE_FINE;
    const size_t channels = (size_t)scratch->channels;
    const size_t width = (size_t)scratch->width, height = (size_t)scratch->height;
    uint8_t *out = convoy_reserve(&scratch->upright, width * height * channels);
    if (out == NULL) {
        return convoy_fail(failure, CONVOY_PICTURE_NO_MEMORY, -1, "memory to turn the picture",
                           "none");
    }
    const bool swaps = orientation >= 5;
    // The pixel (row, column) of the result comes from (row, column) or (column, row) of the file,
    // counted from the end where a side is reversed.
    const bool reverses_rows = orientation == 3 || orientation == 4 || orientation == 7 ||
                               orientation == 6;
    const bool reverses_columns = orientation == 2 || orientation == 3 || orientation == 7 ||
                                  orientation == 8;
    const size_t new_width = swaps ? height : width, new_height = swaps ? width : height;
    for (size_t row = 0; row < new_height; row++) {
        for (size_t column = 0; column < new_width; column++) {
            size_t y = swaps ? column : row, x = swaps ? row : column;
            if (reverses_rows) y = height - 1 - y;
            if (reverses_columns) x = width - 1 - x;
            memcpy(out, scratch->pixels.bytes + (y * width + x) * channels, channels);
            out += channels;
        }
    }
    const struct convoy_buffer turned = scratch->upright;
    scratch->upright = scratch->pixels;
    scratch->pixels = turned;
    scratch->width = (int32_t)new_width;
    scratch->height = (int32_t)new_height;
    return CONVOY_PICTURE_FINE;
}
