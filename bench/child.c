/* What runs under a wrapper when it is measured.

   child stamp                 writes the monotonic clock, nanoseconds, as the first thing it does, and ends
   child sleep                 waits for a signal
   child lines N MICROSECONDS  writes N lines, each the clock, one every so many microseconds
   child flood BYTES RATE FILE writes BYTES of 100-byte lines as programs do into a pipe, 40 at once, RATE bytes a second
                               (0: as fast as they are taken), then `<nanoseconds> <CPU microseconds>` into FILE
   child hold BYTES RATE FILE  the same, then waits for a signal
*/
#define _GNU_SOURCE
#include <fcntl.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/resource.h>
#include <time.h>
#include <unistd.h>

/* Lines are made beforehand, and repeat later than any batch is long. */
enum { LINE = 100, BLOCK_LINES = 40, LINES = 10000 };
static const int64_t SECOND = 1000000000;

static int64_t now(void) {
    struct timespec t;
    clock_gettime(CLOCK_MONOTONIC, &t);
    return t.tv_sec * SECOND + t.tv_nsec;
}

static void sleep_until(int64_t then) {
    struct timespec t = {then / SECOND, then % SECOND};
    while (clock_nanosleep(CLOCK_MONOTONIC, TIMER_ABSTIME, &t, NULL)) {
    }
}

static void write_all(int fd, const char *from, size_t length) {
    while (length) {
        ssize_t written = write(fd, from, length);
        if (written < 0) {
            exit(3);
        }
        from += written;
        length -= written;
    }
}

static void write_number(int fd, int64_t number) {
    char line[32];
    write_all(fd, line, snprintf(line, sizeof line, "%lld\n", (long long)number));
}

/* A line that is unlike the one before: a number, and words that depend on it. */
static void make_line(char *line, uint64_t number) {
    static const char *words[] = {"request", "order", "basket", "payment", "stock", "served", "queued", "retried"};
    uint64_t mixed = number * 0x9E3779B97F4A7C15u;
    int length = snprintf(line, LINE, "%012llu INFO shop %s %s id=%016llx user=%llu ms=%llu ", (unsigned long long)number,
                          words[mixed >> 61], words[mixed >> 55 & 7], (unsigned long long)mixed,
                          (unsigned long long)(mixed >> 44), (unsigned long long)(mixed >> 20 & 1023));
    memset(line + length, 'x', LINE - 1 - length);
    line[LINE - 1] = '\n';
}

static void flood(int64_t bytes, int64_t rate, const char *file) {
    static char lines[LINE * LINES];
    enum { BLOCK = LINE * BLOCK_LINES };
    for (int line = 0; line < LINES; line++) {
        make_line(lines + line * LINE, line);
    }
    int64_t begin = now();
    for (int64_t done = 0; done < bytes; done += BLOCK) {
        int64_t due = rate ? begin + (int64_t)((double)done / rate * SECOND) : 0;
        /* Sleeps of less than half a millisecond are not kept; what is late is made up for. */
        if (due > now() + SECOND / 2000) {
            sleep_until(due);
        }
        write_all(1, lines + done % (int64_t)sizeof lines, BLOCK);
    }
    int64_t took = now() - begin;
    struct rusage used;
    getrusage(RUSAGE_SELF, &used);
    int64_t cpu = (used.ru_utime.tv_sec + used.ru_stime.tv_sec) * 1000000 + used.ru_utime.tv_usec + used.ru_stime.tv_usec;
    char said[64];
    int length = snprintf(said, sizeof said, "%lld %lld\n", (long long)took, (long long)cpu);
    int fd = open(file, O_WRONLY | O_CREAT | O_TRUNC | O_CLOEXEC, 0644);
    if (fd < 0) {
        exit(3);
    }
    write_all(fd, said, length);
    close(fd);
}

int main(int count, char **words) {
    int64_t begin = now();
    const char *mode = count > 1 ? words[1] : "";
    if (!strcmp(mode, "stamp")) {
        write_number(1, begin);
    } else if (!strcmp(mode, "sleep")) {
        pause();
    } else if (!strcmp(mode, "lines") && count == 4) {
        int64_t lines = atoll(words[2]), period = atoll(words[3]) * 1000;
        for (int64_t line = 1; line <= lines; line++) {
            sleep_until(begin + line * period);
            write_number(1, now());
        }
    } else if (!strcmp(mode, "flood") && count == 5) {
        flood(atoll(words[2]), atoll(words[3]), words[4]);
    } else if (!strcmp(mode, "hold") && count == 5) {
        flood(atoll(words[2]), atoll(words[3]), words[4]);
        pause();
    } else {
        return 2;
    }
    return 0;
}
