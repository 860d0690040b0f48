#include "tidelog.h"

int get_varint(const uint8_t *data, size_t end, size_t *at, uint64_t *value)
{
    uint64_t result = 0;

    for (int shift = 0; shift < 64 && *at < end; shift += 7) {
        uint8_t byte = data[(*at)++];
        result |= (byte & 0x7f) << shift;
        if (!(byte & 0x80)) {
            *value = result;
            return 0;
        }
    }
    return -1;
}

int get_signed(const uint8_t *data, size_t end, size_t *at, int64_t *value)
{
    uint64_t raw;

    if (get_varint(data, end, at, &raw) != 0)
        return -1;
    *value = (int64_t)(raw >> 1) ^ (int64_t)(raw & 1);
    return 0;
}
