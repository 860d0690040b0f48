#include "tidelog.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

static const char usage[] =
    "usage: tidelog [-s] FILE\n"
    "Print the readings of a tide log as CSV, or with -s a summary of them.\n"
    "See tidelog(1) in man/tidelog.1, and tidelog(5) for the format.\n";

static uint8_t *slurp(const char *name, size_t *size)
{
    FILE *file = fopen(name, "rb");
    uint8_t *data = NULL;
    size_t room = 0, got;

    if (!file)
        return NULL;
    *size = 0;
    do {
        if (*size == room) {
            room = room ? room * 2 : 4096;
            data = realloc(data, room);
            if (!data)
                abort();
        }
        got = fread(data + *size, 1, room - *size, file);
        *size += got;
    } while (got > 0);
    fclose(file);
    return data;
}

int main(int argc, char **argv)
{
    int summary = argc == 3 && strcmp(argv[1], "-s") == 0;
    struct log log;
    size_t size;

    if (argc == 2 && strcmp(argv[1], "--help") == 0) {
        fputs(usage, stdout);
        return 0;
    }
    if (argc != 2 + summary) {
        fputs(usage, stderr);
        return 2;
    }
    const char *name = argv[argc - 1];
    uint8_t *data = slurp(name, &size);
    if (!data) {
        perror(name);
        return 2;
    }
    if (open_log(&log, data, size) != 0) {
        fprintf(stderr, "tidelog: %s: not a tide log of version 2\n", name);
        return 2;
    }
    if (!summary)
        puts("time,height_m");
    read_log(&log, summary ? count_reading : print_reading);
    if (summary)
        print_summary(&log);
    free(data);
    return totals.damaged ? 1 : 0;
}
