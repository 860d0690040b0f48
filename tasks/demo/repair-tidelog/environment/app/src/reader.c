#include "tidelog.h"

struct state {
    int64_t time;
    int64_t height;
    int64_t calibration;
    int fixed;          /* a fix was seen */
};

int open_log(struct log *log, const uint8_t *data, size_t size)
{
    if (size < HEADER_SIZE || memcmp(data, "TLOG", 4) != 0 || data[4] != 2)
        return -1;
    log->data = data;
    log->size = size;
    log->station = (uint16_t)(data[6] | data[7] << 8);
    log->start = data[8] | data[9] << 8 | data[10] << 16 | data[11] << 24;
    return 0;
}

/* Find the end of the block whose marker is at `at`; return 0 if it is whole and its checksum is right. */
static int check_block(const struct log *log, size_t at, size_t *payload, size_t *end)
{
    size_t here = at + 3;
    uint64_t length;

    *end = log->size;
    if (here > log->size || get_varint(log->data, log->size, &here, &length) != 0)
        return -1;
    if (log->size - here < 2 || length > log->size - here - 2)
        return -1;
    *payload = here;
    *end = here + (size_t)length;
    uint16_t stored = (uint16_t)(log->data[*end] << 8 | log->data[*end + 1]);
    return crc16(log->data + at + 2, *end - at - 2) == stored ? 0 : -1;
}

static void read_fix(const struct log *log, struct state *state, size_t at, size_t end, reading_fn reading)
{
    uint64_t seconds;
    int64_t height;

    if (get_varint(log->data, end, &at, &seconds) != 0 || get_signed(log->data, end, &at, &height) != 0)
        return;
    state->time = log->start + (int64_t)seconds;
    state->height = height;
    state->fixed = 1;
    reading(state->time, state->height + state->calibration);
}

static void read_changes(const struct log *log, struct state *state, size_t at, size_t end, reading_fn reading)
{
    uint64_t count, seconds;
    int64_t change;

    if (!state->fixed) {
        totals.orphaned++;
        return;
    }
    if (get_varint(log->data, end, &at, &count) != 0)
        return;
    while (count-- > 0) {
        if (get_varint(log->data, end, &at, &seconds) != 0 || get_signed(log->data, end, &at, &change) != 0)
            return;
        state->time += (int64_t)seconds;
        state->height += change;
        reading(state->time, state->height + state->calibration);
    }
}

void read_log(const struct log *log, reading_fn reading)
{
    struct state state = {0};
    size_t at = HEADER_SIZE, payload, end;

    while (at + 1 < log->size) {
        if (log->data[at] != MARKER_0 || log->data[at + 1] != MARKER_1) {
            at++;
            continue;
        }
        if (check_block(log, at, &payload, &end) != 0) {
            totals.damaged++;
            at = end + 2;
            continue;
        }
        switch (log->data[at + 2]) {
        case 'F':
            read_fix(log, &state, payload, end, reading);
            break;
        case 'R':
            read_changes(log, &state, payload, end, reading);
            break;
        case 'C':
            if (get_signed(log->data, end, &payload, &state.calibration) != 0)
                state.calibration = 0;
            break;
        }
        at = end + 2;
    }
}
