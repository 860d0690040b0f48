/* tidelog - reads the logs of tide gauges. The format is described in tidelog(5). */
#ifndef TIDELOG_H
#define TIDELOG_H

#include <stddef.h>
#include <stdint.h>

#define HEADER_SIZE 12
#define MARKER_0 0xA7
#define MARKER_1 0x5C

struct log {
    const uint8_t *data;
    size_t size;
    uint16_t station;
    int64_t start;       /* seconds since 1970 */
};

struct totals {
    long readings;
    long damaged;
    long orphaned;
    int64_t sum;
    int64_t lowest, lowest_at;
    int64_t highest, highest_at;
};

struct totals totals;

/* Called for every reading: seconds since 1970, millimetres. */
typedef void (*reading_fn)(int64_t time, int64_t height);

/* varint.c: both move *at forward and return 0, or -1 if the number does not end before `end`. */
int get_varint(const uint8_t *data, size_t end, size_t *at, uint64_t *value);
int get_signed(const uint8_t *data, size_t end, size_t *at, int64_t *value);

/* crc.c */
uint16_t crc16(const uint8_t *data, size_t size);

/* reader.c: open_log returns 0, or -1 if this is no tide log. */
int open_log(struct log *log, const uint8_t *data, size_t size);
void read_log(const struct log *log, reading_fn reading);

/* output.c */
void print_reading(int64_t time, int64_t height);
void count_reading(int64_t time, int64_t height);
void print_summary(const struct log *log);

#endif
