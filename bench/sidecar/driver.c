/* A host of the sidecar, measured from inside. What it says is one line of JSON each.

   driver submit MODE BINARY PAYLOADS COUNT MICROSECONDS  submits COUNT payloads of the file, in turn, one every so many
                                                          microseconds (0: as fast as they are taken)
   driver stream PAYLOADS COUNT MICROSECONDS              the same bytes, each after its length, into a Unix stream socket
                                                          whose other end a child reads
   driver once MODE BINARY PAYLOADS                       each payload of the file once, as fast as they are taken
   driver open MODE BINARY                                opens, asks the server, forks a child that submits
   driver start PROGRAM                                   the limits of that: a thread that answers; PROGRAM until it has written
   driver host MODE BINARY PAYLOADS                       goes on by one stage for each line it reads: opened, 1000 submitted

   PAYLOADS: of each the number of spans and of bytes (u32, little endian) and the bytes. Settings are in the environment;
   BENCH_SIDECAR in it tells which subprocess is ours.
*/
#define _GNU_SOURCE
#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <pthread.h>
#include <signal.h>
#include <spawn.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/prctl.h>
#include <sys/socket.h>
#include <sys/uio.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>

#include "lastlight.h"

extern char **environ;

static const int64_t SECOND = 1000000000;
/* Of anything that waits, milliseconds. */
enum { WAIT_MAX = 30000, WARM_MIN = 20, HOST_PAYLOADS = 1000 };

struct payload {
    uint32_t spans, length;
    const uint8_t *bytes;
};

static struct payload *payloads;
static size_t payloads_count;

static void fail(const char *what) {
    fprintf(stderr, "driver: %s: %s\n", what, strerror(errno));
    exit(3);
}

static int64_t clock_of(clockid_t clock) {
    struct timespec t;
    if (clock_gettime(clock, &t)) {
        return 0;
    }
    return t.tv_sec * SECOND + t.tv_nsec;
}

static int64_t now(void) { return clock_of(CLOCK_MONOTONIC); }

static void sleep_until(int64_t then) {
    struct timespec t = {then / SECOND, then % SECOND};
    while (clock_nanosleep(CLOCK_MONOTONIC, TIMER_ABSTIME, &t, NULL)) {
    }
}

static void load(const char *file) {
    FILE *from = fopen(file, "rb");
    if (!from || fseek(from, 0, SEEK_END)) {
        fail(file);
    }
    size_t size = ftell(from);
    uint8_t *bytes = malloc(size);
    rewind(from);
    if (!bytes || fread(bytes, 1, size, from) != size) {
        fail(file);
    }
    fclose(from);
    for (size_t at = 0; at + 8 <= size; at += payloads[payloads_count++].length + 8) {
        payloads = realloc(payloads, (payloads_count + 1) * sizeof(*payloads));
        struct payload *next = &payloads[payloads_count];
        memcpy(&next->spans, bytes + at, 4);
        memcpy(&next->length, bytes + at + 4, 4);
        next->bytes = bytes + at + 8;
    }
}

/* What a tracer would say of itself. */
#define TEXT(words) {words, sizeof(words) - 1}
static const lastlight_pair HEADERS[] = {
    {TEXT("datadog-meta-lang"), TEXT("c")},
    {TEXT("datadog-meta-tracer-version"), TEXT("1.0.0")},
    {TEXT("x-datadog-trace-count"), TEXT("1")},
};

static lastlight *open_in(const char *mode, const char *binary) {
    lastlight_options options = {.size = sizeof(options)};
    options.mode = (lastlight_str){mode, strlen(mode)};
    options.binary = (lastlight_str){binary, strlen(binary)};
    options.ready_within_ms = 5000;
    lastlight *handle = NULL;
    lastlight_result result = lastlight_open(&options, &handle);
    if (result != LASTLIGHT_OK) {
        fprintf(stderr, "driver: open: %s\n", lastlight_result_text(result));
        exit(3);
    }
    return handle;
}

/* One question and its answer. */
static void ask(lastlight *handle) {
    static char text[1 << 16];
    size_t length = sizeof(text);
    lastlight_result result = lastlight_server_stats(handle, WAIT_MAX, text, &length);
    if (result == LASTLIGHT_OK) {
        return;
    }
    fprintf(stderr, "driver: no answer: %s\n", lastlight_result_text(result));
    for (;;) {
        length = sizeof(text);
        if (lastlight_next_message(handle, text, &length, NULL) != LASTLIGHT_OK) {
            exit(3);
        }
        fprintf(stderr, "driver: %.*s\n", (int)length, text);
    }
}

/* That the mode is the one asked for. */
static void check(lastlight *handle, const char *mode) {
    uint32_t found = 0;
    lastlight_mode_in_use(handle, &found);
    if (found != (strcmp(mode, "thread") ? LASTLIGHT_MODE_SUBPROCESS : LASTLIGHT_MODE_THREAD)) {
        fprintf(stderr, "driver: %s was asked for, %u is in use\n", mode, found);
        exit(3);
    }
}

/* The subprocess: another process with our mark in its environment. 0 where there is none. */
static pid_t find_server(void) {
    const char *mark = getenv("BENCH_SIDECAR");
    DIR *all = opendir("/proc");
    pid_t found = 0;
    for (struct dirent *one; mark && all && (one = readdir(all));) {
        pid_t pid = atoi(one->d_name);
        char path[64], text[1 << 16];
        snprintf(path, sizeof(path), "/proc/%d/environ", pid);
        int fd = pid > 0 && pid != getpid() ? open(path, O_RDONLY | O_CLOEXEC) : -1;
        if (fd < 0) {
            continue;
        }
        ssize_t length = read(fd, text, sizeof(text) - 1);
        close(fd);
        for (ssize_t at = 0; at < length; at += strlen(text + at) + 1) {
            text[length] = '\0';
            if (!strncmp(text + at, "BENCH_SIDECAR=", 14) && !strcmp(text + at + 14, mark)) {
                found = pid;
            }
        }
    }
    if (all) {
        closedir(all);
    }
    return found;
}

/* CPU so far: of the thread that submits, and of everything that serves it. */
struct used {
    int64_t caller, server;
};

static struct used used_with(pid_t server) {
    int64_t caller = clock_of(CLOCK_THREAD_CPUTIME_ID);
    clockid_t other;
    if (server) {
        if (clock_getcpuclockid(server, &other)) {
            fail("the server's clock");
        }
        return (struct used){caller, clock_of(other)};
    }
    return (struct used){caller, clock_of(CLOCK_PROCESS_CPUTIME_ID) - caller};
}

static int by_size(const void *left, const void *right) {
    int64_t a = *(const int64_t *)left, b = *(const int64_t *)right;
    return (a > b) - (a < b);
}

static void report(int64_t *times, size_t count, int64_t took, struct used before, struct used after, const char *more) {
    double sum = 0;
    for (size_t i = 0; i < count; i++) {
        sum += times[i];
    }
    qsort(times, count, sizeof(*times), by_size);
    printf("{\"count\": %zu, \"p50_us\": %.3f, \"p99_us\": %.3f, \"max_us\": %.3f, \"mean_us\": %.3f, \"seconds\": %.6f, "
           "\"caller_cpu_us\": %.3f, \"server_cpu_us\": %.3f%s}\n",
           count, times[count / 2] / 1e3, times[count * 99 / 100] / 1e3, times[count - 1] / 1e3, sum / count / 1e3,
           took / 1e9, (after.caller - before.caller) / 1e3 / count, (after.server - before.server) / 1e3 / count, more);
}

/* Submits one; where there is no room, waits for some outside of the time that counts, and says how often. */
static int64_t submit(lastlight *handle, const struct payload *payload, uint64_t *no_room) {
    for (int64_t until = now() + WAIT_MAX * (SECOND / 1000);;) {
        int64_t begin = now();
        lastlight_result result = lastlight_submit(handle, LASTLIGHT_TRACES_V04, HEADERS, sizeof(HEADERS) / sizeof(*HEADERS),
                                                   payload->bytes, payload->length);
        int64_t took = now() - begin;
        if (result == LASTLIGHT_OK) {
            return took;
        }
        if (result != LASTLIGHT_NO_ROOM || now() > until) {
            fprintf(stderr, "driver: submit: %s\n", lastlight_result_text(result));
            exit(3);
        }
        ++*no_room;
        lastlight_settle(handle, 5);
    }
}

static void finish(lastlight *handle) {
    if (lastlight_settle(handle, WAIT_MAX) != LASTLIGHT_OK || lastlight_flush(handle, WAIT_MAX) != LASTLIGHT_OK) {
        fprintf(stderr, "driver: not delivered in time\n");
        exit(3);
    }
}

/* What became of all of it, as members of an object: as this process counts it and, in the last line of its answer, the agent. */
static void outcome(lastlight *handle, char *text, size_t room, uint64_t no_room) {
    static char said[1 << 16];
    size_t length = sizeof(said) - 1;
    lastlight_counts_t counts = {.size = sizeof(counts)};
    lastlight_counts(handle, &counts);
    if (lastlight_server_stats(handle, WAIT_MAX, said, &length) != LASTLIGHT_OK) {
        length = 0;
    }
    said[length] = '\0';
    char *status = strstr(said, "\n{");
    snprintf(text, room, ", \"no_room\": %llu, \"accepted\": %llu, \"status\": %s", (unsigned long long)no_room,
             (unsigned long long)counts.accepted, status ? status + 1 : "null");
}

static void measure_submit(const char *mode, const char *binary, size_t count, int64_t period, int once) {
    lastlight *handle = open_in(mode, binary);
    ask(handle);
    check(handle, mode);
    pid_t server = strcmp(mode, "thread") ? find_server() : 0;
    if (strcmp(mode, "thread") && !server) {
        fail("the subprocess is not found");
    }
    int64_t *times = malloc(count * sizeof(*times));
    uint64_t no_room = 0;
    for (size_t i = 0; i < (once ? 1 : count / 10 + WARM_MIN); i++) {
        submit(handle, &payloads[i % payloads_count], &no_room);
    }
    finish(handle);
    no_room = 0;
    struct used before = used_with(server);
    int64_t begin = now();
    for (size_t i = 0; i < count; i++) {
        if (period) {
            sleep_until(begin + (int64_t)i * period);
        }
        times[i] = submit(handle, &payloads[i % payloads_count], &no_room);
    }
    finish(handle);
    int64_t took = now() - begin;
    struct used after = used_with(server);
    static char more[1 << 17];
    outcome(handle, more, sizeof(more), no_room);
    report(times, count, took, before, after, more);
    lastlight_close(handle, WAIT_MAX, NULL);
    lastlight_free(handle);
}

static int read_all(int fd, void *to, size_t length) {
    for (size_t done = 0; done < length;) {
        ssize_t got = read(fd, (char *)to + done, length - done);
        if (got <= 0) {
            return 0;
        }
        done += got;
    }
    return 1;
}

static int64_t stream(int fd, const struct payload *payload) {
    int64_t begin = now();
    uint32_t length = payload->length;
    struct iovec parts[] = {{&length, sizeof(length)}, {(void *)payload->bytes, length}};
    ssize_t written = writev(fd, parts, 2);
    if (written < (ssize_t)sizeof(length)) {
        fail("write");
    }
    for (size_t done = written; done < length + sizeof(length); done += written) {
        written = write(fd, payload->bytes + done - sizeof(length), length + sizeof(length) - done);
        if (written < 0) {
            fail("write");
        }
    }
    return now() - begin;
}

static void measure_stream(size_t count, int64_t period) {
    int ends[2];
    if (socketpair(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0, ends)) {
        fail("socketpair");
    }
    pid_t reader = fork();
    if (!reader) {
        prctl(PR_SET_PDEATHSIG, SIGKILL);
        close(ends[0]);
        uint8_t *buffer = malloc(2 << 20);
        uint32_t length;
        /* A length of 0 asks for a byte: everything before it was read. */
        while (read_all(ends[1], &length, sizeof(length))) {
            if (length ? !read_all(ends[1], buffer, length) : write(ends[1], "x", 1) != 1) {
                break;
            }
        }
        _exit(0);
    }
    close(ends[1]);
    int64_t *times = malloc(count * sizeof(*times));
    uint32_t end = 0;
    char byte;
    struct used before = {0}, after = {0};
    int64_t begin = 0, took = 0;
    for (int is_warm = 0; is_warm < 2; is_warm++) {
        before = used_with(reader);
        begin = now();
        for (size_t i = 0; i < (is_warm ? count : count / 10 + WARM_MIN); i++) {
            if (period && is_warm) {
                sleep_until(begin + (int64_t)i * period);
            }
            int64_t one = stream(ends[0], &payloads[i % payloads_count]);
            if (is_warm) {
                times[i] = one;
            }
        }
        if (write(ends[0], &end, sizeof(end)) != sizeof(end) || read(ends[0], &byte, 1) != 1) {
            fail("the reader");
        }
        took = now() - begin;
        after = used_with(reader);
    }
    report(times, count, took, before, after, "");
    close(ends[0]);
    waitpid(reader, NULL, 0);
}

/* Open to answer, and fork to what the child submitted being answered for. */
static void measure_open(const char *mode, const char *binary) {
    static const uint8_t NOTHING[] = {0x90};
    int64_t begin = now();
    lastlight *handle = open_in(mode, binary);
    int64_t opened = now();
    ask(handle);
    int64_t answered = now();
    check(handle, mode);
    int64_t asked = now();
    ask(handle);
    int64_t again = now();
    int ends[2];
    if (pipe(ends)) {
        fail("pipe");
    }
    int64_t said[3], forking = now();
    pid_t child = fork();
    if (!child) {
        said[0] = now();
        uint64_t no_room = 0;
        submit(handle, &(struct payload){0, sizeof(NOTHING), NOTHING}, &no_room);
        said[1] = now();
        if (lastlight_settle(handle, WAIT_MAX) != LASTLIGHT_OK) {
            _exit(1);
        }
        said[2] = now();
        _exit(write(ends[1], said, sizeof(said)) != sizeof(said));
    }
    close(ends[1]);
    if (!read_all(ends[0], said, sizeof(said))) {
        fail("the child");
    }
    waitpid(child, NULL, 0);
    int64_t closing = now();
    lastlight_close(handle, WAIT_MAX, NULL);
    int64_t closed = now();
    lastlight_free(handle);
    printf("{\"open_us\": %.1f, \"answered_us\": %.1f, \"ask_us\": %.1f, \"fork_us\": %.1f, \"child_submitted_us\": %.1f, "
           "\"child_accepted_us\": %.1f, \"close_us\": %.1f}\n",
           (opened - begin) / 1e3, (answered - begin) / 1e3, (again - asked) / 1e3, (said[0] - forking) / 1e3,
           (said[1] - forking) / 1e3, (said[2] - forking) / 1e3, (closed - closing) / 1e3);
}

static void *answer(void *end) {
    char byte;
    if (read(*(int *)end, &byte, 1) == 1 && write(*(int *)end, &byte, 1) != 1) {
        fail("write");
    }
    return NULL;
}

static void measure_start(char *program) {
    char byte = 'x', *words[] = {program, "stamp", NULL};
    int ends[2];
    int64_t begin = now();
    pthread_t thread;
    if (socketpair(AF_UNIX, SOCK_SEQPACKET | SOCK_CLOEXEC, 0, ends) || pthread_create(&thread, NULL, answer, &ends[1]) ||
        write(ends[0], &byte, 1) != 1 || read(ends[0], &byte, 1) != 1) {
        fail("a thread");
    }
    int64_t by_thread = now() - begin;
    pthread_join(thread, NULL);
    posix_spawn_file_actions_t actions;
    begin = now();
    pid_t pid;
    if (pipe2(ends, O_CLOEXEC) || posix_spawn_file_actions_init(&actions) || posix_spawn_file_actions_adddup2(&actions, ends[1], 1) ||
        posix_spawn(&pid, program, &actions, NULL, words, environ) || read(ends[0], &byte, 1) != 1) {
        fail(program);
    }
    int64_t by_program = now() - begin;
    waitpid(pid, NULL, 0);
    printf("{\"thread_us\": %.1f, \"program_us\": %.1f}\n", by_thread / 1e3, by_program / 1e3);
}

static void wait_for_line(void) {
    for (char byte = 0; byte != '\n';) {
        if (read(0, &byte, 1) != 1) {
            exit(0);
        }
    }
}

static void host(const char *mode, const char *binary) {
    printf("0\n");
    fflush(stdout);
    wait_for_line();
    lastlight *handle = open_in(mode, binary);
    ask(handle);
    check(handle, mode);
    printf("%d\n", strcmp(mode, "thread") ? find_server() : 0);
    fflush(stdout);
    wait_for_line();
    uint64_t no_room = 0;
    for (size_t i = 0; i < HOST_PAYLOADS; i++) {
        submit(handle, &payloads[i % payloads_count], &no_room);
    }
    finish(handle);
    printf("%llu\n", (unsigned long long)no_room);
    fflush(stdout);
    wait_for_line();
    lastlight_close(handle, WAIT_MAX, NULL);
    lastlight_free(handle);
}

int main(int count, char **words) {
    const char *what = count > 1 ? words[1] : "";
    if (!strcmp(what, "submit") && count == 7) {
        load(words[4]);
        measure_submit(words[2], words[3], atoll(words[5]), atoll(words[6]) * 1000, 0);
    } else if (!strcmp(what, "once") && count == 5) {
        load(words[4]);
        measure_submit(words[2], words[3], payloads_count, 0, 1);
    } else if (!strcmp(what, "stream") && count == 5) {
        load(words[2]);
        measure_stream(atoll(words[3]), atoll(words[4]) * 1000);
    } else if (!strcmp(what, "open") && count == 4) {
        measure_open(words[2], words[3]);
    } else if (!strcmp(what, "start") && count == 3) {
        measure_start(words[2]);
    } else if (!strcmp(what, "host") && count == 5) {
        load(words[4]);
        host(words[2], words[3]);
    } else {
        return 2;
    }
    return 0;
}
