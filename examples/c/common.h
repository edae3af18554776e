/* What every example needs: texts, a clock, and somebody who reads the library's messages. */
#ifndef COMMON_H
#define COMMON_H

#include <lastlight.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

static inline lastlight_str text(const char *words) {
  lastlight_str borrowed = {words, words ? strlen(words) : 0};
  return borrowed;
}

/* Nanoseconds: of the calendar for starts, monotonic for durations. */
static inline uint64_t clock_ns(clockid_t clock) {
  struct timespec now;
  clock_gettime(clock, &now);
  return (uint64_t)now.tv_sec * 1000000000u + (uint64_t)now.tv_nsec;
}

/* The library writes nowhere. What it has to say goes where the program's own lines go. */
static inline void print_messages(lastlight *agent) {
  for (;;) {
    char line[1024];
    size_t length = sizeof line;
    uint32_t level = 0;
    if (lastlight_next_message(agent, line, &length, &level) != LASTLIGHT_OK) return;
    if (level <= LASTLIGHT_LEVEL_INFO) fprintf(stderr, "lastlight: %.*s\n", (int)length, line);
  }
}

/* For calls that fail only by a mistake in this program. */
static inline void must(lastlight_result result, const char *what) {
  if (result != LASTLIGHT_OK) {
    fprintf(stderr, "%s: %s\n", what, lastlight_result_text((int32_t)result));
    exit(1);
  }
}

#endif
