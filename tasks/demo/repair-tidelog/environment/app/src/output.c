#include "stations.h"
#include "tidelog.h"

#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <time.h>

static void print_time(int64_t seconds)
{
    time_t clock = (time_t)seconds;
    struct tm tm;
    char text[40];

    gmtime_r(&clock, &tm);
    strftime(text, sizeof text, "%Y-%m-%dT%H:%M:%SZ", &tm);
    fputs(text, stdout);
}

static void print_height(int64_t height)
{
    printf("%" PRId64 ".%03d", height / 1000, abs((int)(height % 1000)));
}

void print_reading(int64_t time, int64_t height)
{
    print_time(time);
    putchar(',');
    print_height(height);
    putchar('\n');
}

void count_reading(int64_t time, int64_t height)
{
    if (height < totals.lowest) {
        totals.lowest = height;
        totals.lowest_at = time;
    }
    if (height > totals.highest) {
        totals.highest = height;
        totals.highest_at = time;
    }
    totals.readings++;
    totals.sum += height;
}

static const char *station_name(uint16_t number)
{
    for (size_t i = 0; i < sizeof stations / sizeof stations[0]; i++)
        if (stations[i].number == number)
            return stations[i].name;
    return "unknown";
}

static void print_extreme(const char *label, int64_t height, int64_t at)
{
    printf("%s: ", label);
    print_height(height);
    putchar(' ');
    print_time(at);
    putchar('\n');
}

void print_summary(const struct log *log)
{
    printf("station: %s (%u)\n", station_name(log->station), log->station);
    printf("readings: %ld\n", totals.readings);
    printf("damaged: %ld\n", totals.damaged);
    printf("orphaned: %ld\n", totals.orphaned);
    if (totals.readings == 0)
        return;
    print_extreme("lowest", totals.lowest, totals.lowest_at);
    print_extreme("highest", totals.highest, totals.highest_at);
    printf("mean: ");
    print_height(totals.sum / totals.readings);
    putchar('\n');
}
