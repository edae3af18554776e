/* A host that looks at what the library did to it. It writes only where something is wrong. */
#define _GNU_SOURCE
#include <lastlight.h>

#include <dirent.h>
#include <dlfcn.h>
#include <pthread.h>
#include <sched.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/resource.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>

extern char **environ;

static int failures;

#define CHECK(holds, ...)                                    \
  do {                                                       \
    if (!(holds)) {                                          \
      fprintf(stderr, "%s:%d: ", __FILE__, __LINE__);        \
      fprintf(stderr, __VA_ARGS__);                          \
      fprintf(stderr, "\n");                                 \
      failures++;                                            \
    }                                                        \
  } while (0)
#define IS(result, expected) \
  CHECK((result) == (expected), "%s: not %s", lastlight_result_text((int32_t)(result)), #expected)

static lastlight_str text(const char *words) {
  lastlight_str borrowed = {words, words ? strlen(words) : 0};
  return borrowed;
}

static lastlight_trace *new_trace(void) {
  lastlight_trace_options about;
  memset(&about, 0, sizeof about);
  about.size = sizeof about;
  about.service = text("guest");
  lastlight_trace *trace = NULL;
  IS(lastlight_trace_new(&about, &trace), LASTLIGHT_OK);
  return trace;
}

static lastlight_result one_span(lastlight *agent, lastlight_trace *trace, const char *name) {
  uint32_t span = LASTLIGHT_NO_SPAN;
  IS(lastlight_span_start(trace, LASTLIGHT_NO_SPAN, text(name), (uint64_t)time(NULL) * 1000000000u, &span), LASTLIGHT_OK);
  IS(lastlight_span_finish(trace, span, 1000), LASTLIGHT_OK);
  return lastlight_trace_submit(agent, trace);
}

/* Copies of what a library could change in its host. */
static struct sigaction handlers[65];
static char *environment[4096];
static size_t environment_count;

static void remember(void) {
  for (int number = 1; number < 65; number++) sigaction(number, NULL, &handlers[number]);
  for (environment_count = 0; environ[environment_count]; environment_count++)
    environment[environment_count] = environ[environment_count];
}

static void compare(const char *when) {
  for (int number = 1; number < 65; number++) {
    struct sigaction now;
    if (sigaction(number, NULL, &now) != 0) continue;
    CHECK(now.sa_handler == handlers[number].sa_handler && now.sa_flags == handlers[number].sa_flags,
          "%s: another handler of signal %d", when, number);
  }
  for (size_t at = 0; at <= environment_count; at++)
    CHECK(environ[at] == (at < environment_count ? environment[at] : NULL), "%s: another environment", when);
}

/* Threads of ours by their names, with all signals blocked but those that cannot be. */
static int own_threads(void) {
  int found = 0;
  DIR *tasks = opendir("/proc/self/task");
  for (struct dirent *task; (task = readdir(tasks)) != NULL;) {
    char path[300], line[256], name[64] = "", blocked[64] = "";
    snprintf(path, sizeof path, "/proc/self/task/%s/status", task->d_name);
    FILE *status = fopen(path, "r");
    if (status == NULL) continue;
    while (fgets(line, sizeof line, status)) {
      sscanf(line, "Name: %63s", name);
      sscanf(line, "SigBlk: %63s", blocked);
    }
    fclose(status);
    if (atoi(task->d_name) == getpid() || task->d_name[0] == '.') continue;
    CHECK(strncmp(name, "lastlight", 9) == 0, "a thread of the name %s", name);
    /* All but those of the C library, KILL and STOP. */
    CHECK(strtoull(blocked, NULL, 16) >= 0xfffffffe7ffbfeffull, "%s blocks %s", name, blocked);
    found++;
  }
  closedir(tasks);
  return found;
}

static int quiet(int expected_threads) {
  remember();
  lastlight *agent = NULL;
  IS(lastlight_open(NULL, &agent), LASTLIGHT_OK);
  compare("open");
  lastlight_trace *trace = new_trace();
  IS(one_span(agent, trace, "quiet"), LASTLIGHT_OK);
  IS(lastlight_flush(agent, 10000), LASTLIGHT_OK);
  CHECK(own_threads() == expected_threads, "%d threads", own_threads());
  uint32_t mode = 99;
  IS(lastlight_mode_in_use(agent, &mode), LASTLIGHT_OK);
  CHECK(mode == (expected_threads ? LASTLIGHT_MODE_THREAD : LASTLIGHT_MODE_SUBPROCESS), "mode %u", mode);
  /* Whoever waits for children finds none. */
  CHECK(waitpid(-1, NULL, WNOHANG) == -1, "a child of the library's");
  compare("flush");
  IS(lastlight_close(agent, 10000, NULL), LASTLIGHT_OK);
  /* Joined; the kernel takes it from the list a moment after it told so. */
  for (int turn = 0; turn < 100000 && own_threads() > 0; turn++) sched_yield();
  CHECK(own_threads() == 0, "%d threads after the close", own_threads());
  compare("close");
  lastlight_trace_free(trace);
  lastlight_free(agent);
  return failures;
}

/* Processes that fork, each of which sends from before and after its children. */
static void forks(lastlight *agent, lastlight_trace *trace, int depth) {
  IS(one_span(agent, trace, "before"), LASTLIGHT_OK);
  pid_t children[2] = {0, 0};
  for (int child = 0; child < 2 && depth > 0; child++) {
    children[child] = fork();
    if (children[child] == 0) {
      forks(agent, trace, depth - 1);
      IS(lastlight_close(agent, 20000, NULL), LASTLIGHT_OK);
      lastlight_trace_free(trace);
      lastlight_free(agent);
      _exit(failures ? 1 : 0);
    }
  }
  IS(one_span(agent, trace, "after"), LASTLIGHT_OK);
  for (int child = 0; child < 2; child++) {
    int status = 0;
    if (children[child] > 0) CHECK(waitpid(children[child], &status, 0) > 0 && status == 0, "a child: %d", status);
  }
}

static int tree(int depth) {
  lastlight *agent = NULL;
  IS(lastlight_open(NULL, &agent), LASTLIGHT_OK);
  lastlight_trace *trace = new_trace();
  /* What is not finished when a process forks is the parent's. */
  uint32_t open_span = 0;
  IS(lastlight_span_start(trace, LASTLIGHT_NO_SPAN, text("open"), 1, &open_span), LASTLIGHT_OK);
  pid_t child = fork();
  if (child == 0) {
    uint64_t id = 0;
    CHECK(lastlight_span_ids(trace, open_span, &id, &id, &id) == LASTLIGHT_INVALID, "a parent's span");
    CHECK(lastlight_trace_submit(agent, trace) == LASTLIGHT_EMPTY, "a parent's trace");
    _exit(failures ? 1 : 0);
  }
  int status = 1;
  CHECK(waitpid(child, &status, 0) == child && status == 0, "the child: %d", status);
  lastlight_trace_free(trace);
  trace = new_trace();
  forks(agent, trace, depth);
  IS(lastlight_flush(agent, 20000), LASTLIGHT_OK);
  IS(lastlight_close(agent, 20000, NULL), LASTLIGHT_OK);
  lastlight_trace_free(trace);
  lastlight_free(agent);
  return failures;
}

/* Everything that a careless caller may say. */
static int hostile(void) {
  lastlight_options options;
  memset(&options, 0, sizeof options);
  lastlight *agent = (lastlight *)&options;
  IS(lastlight_open(NULL, NULL), LASTLIGHT_INVALID);
  IS(lastlight_open(&options, &agent), LASTLIGHT_INVALID);
  CHECK(agent == NULL, "no handle");
  options.size = sizeof options;
  options.flags = 1u << 31;
  IS(lastlight_open(&options, &agent), LASTLIGHT_INVALID);
  options.flags = LASTLIGHT_LAZY;
  options.settings_count = 1;
  IS(lastlight_open(&options, &agent), LASTLIGHT_INVALID);
  options.settings = (const lastlight_pair *)&options;
  options.settings_count = SIZE_MAX;
  IS(lastlight_open(&options, &agent), LASTLIGHT_TOO_BIG);
  options.settings = NULL;
  options.settings_count = 0;
  options.mode.length = 4;
  IS(lastlight_open(&options, &agent), LASTLIGHT_INVALID);
  options.mode = text("sideways");
  /* Of a newer header: longer, with zeros. */
  struct {
    lastlight_options known;
    uint64_t unknown[2];
  } newer;
  memset(&newer, 0, sizeof newer);
  newer.known = options;
  newer.known.size = sizeof newer;
  newer.unknown[1] = 1;
  IS(lastlight_open(&newer.known, &agent), LASTLIGHT_INVALID);
  newer.unknown[1] = 0;
  IS(lastlight_open(&newer.known, &agent), LASTLIGHT_OK);

  /* The mode that is none was said. */
  char line[1024];
  size_t length = 0;
  uint32_t level = 0;
  IS(lastlight_next_message(agent, NULL, &length, &level), LASTLIGHT_TOO_BIG);
  CHECK(length > 0 && length < sizeof line, "%zu", length);
  size_t needed = length;
  length = sizeof line;
  IS(lastlight_next_message(agent, line, &length, &level), LASTLIGHT_OK);
  CHECK(length == needed && memmem(line, length, "sideways", 8), "%.*s", (int)length, line);
  length = 5;
  IS(lastlight_next_message(agent, NULL, &length, NULL), LASTLIGHT_INVALID);
  IS(lastlight_next_message(agent, line, NULL, NULL), LASTLIGHT_INVALID);
  do length = sizeof line;
  while (lastlight_next_message(agent, line, &length, NULL) == LASTLIGHT_OK);
  IS(lastlight_next_message(agent, line, &length, NULL), LASTLIGHT_EMPTY);

  const uint8_t byte = 0;
  lastlight_pair header = {{NULL, 0}, {NULL, 0}};
  IS(lastlight_submit(NULL, 1, NULL, 0, &byte, 1), LASTLIGHT_INVALID);
  IS(lastlight_submit(agent, 0, NULL, 0, &byte, 1), LASTLIGHT_INVALID);
  IS(lastlight_submit(agent, 8, NULL, 0, &byte, 1), LASTLIGHT_INVALID);
  IS(lastlight_submit(agent, 65537, NULL, 0, &byte, 1), LASTLIGHT_INVALID);
  IS(lastlight_submit(agent, 1, NULL, 0, NULL, 1), LASTLIGHT_INVALID);
  IS(lastlight_submit(agent, 1, NULL, 0, &byte, SIZE_MAX), LASTLIGHT_TOO_BIG);
  IS(lastlight_submit(agent, 1, NULL, 1, &byte, 1), LASTLIGHT_INVALID);
  IS(lastlight_submit(agent, 1, &header, SIZE_MAX / 2, &byte, 1), LASTLIGHT_TOO_BIG);
  IS(lastlight_submit(agent, 1, &header, 1, &byte, 1), LASTLIGHT_INVALID);
  header.name.length = SIZE_MAX;
  header.name.data = (const char *)&byte;
  IS(lastlight_submit(agent, 1, &header, 1, &byte, 1), LASTLIGHT_TOO_BIG);
  IS(lastlight_counts(agent, NULL), LASTLIGHT_INVALID);
  lastlight_counts_t counts;
  memset(&counts, 0xff, sizeof counts);
  IS(lastlight_counts(agent, &counts), LASTLIGHT_INVALID);
  counts.size = 2 * sizeof(size_t);
  IS(lastlight_counts(agent, &counts), LASTLIGHT_OK);
  CHECK(counts.submitted == 0 && counts.accepted == UINT64_MAX, "filled beyond its size");
  IS(lastlight_server_stats(agent, 10, NULL, NULL), LASTLIGHT_INVALID);
  IS(lastlight_mode_in_use(agent, NULL), LASTLIGHT_INVALID);
  IS(lastlight_ensure(NULL), LASTLIGHT_INVALID);
  IS(lastlight_pump(NULL), LASTLIGHT_INVALID);
  IS(lastlight_flush(NULL, 1), LASTLIGHT_INVALID);
  IS(lastlight_settle(NULL, 1), LASTLIGHT_INVALID);
  IS(lastlight_close(NULL, 1, NULL), LASTLIGHT_INVALID);
  lastlight_free(NULL);
  lastlight_trace_free(NULL);
  CHECK(lastlight_result_text(-1) && lastlight_result_text(INT32_MAX), "words");
  CHECK(lastlight_abi() == LASTLIGHT_ABI, "%u", lastlight_abi());

  lastlight_trace_options about;
  memset(&about, 0, sizeof about);
  lastlight_trace *trace = NULL;
  IS(lastlight_trace_new(&about, &trace), LASTLIGHT_INVALID);
  about.size = sizeof about;
  about.flags = LASTLIGHT_TRACE_SAMPLE_RATE;
  about.sample_rate = 1.5;
  IS(lastlight_trace_new(&about, &trace), LASTLIGHT_INVALID);
  about.flags = 0;
  about.service = text("\xff\xfe");
  about.spans_max = 2;
  IS(lastlight_trace_new(&about, NULL), LASTLIGHT_INVALID);
  IS(lastlight_trace_new(&about, &trace), LASTLIGHT_OK);
  uint32_t span = 5, second = 5, third = 5;
  IS(lastlight_span_tag(trace, 0, text("a"), text("b")), LASTLIGHT_INVALID);
  IS(lastlight_span_start(trace, 3, text("a"), 1, &span), LASTLIGHT_INVALID);
  CHECK(span == LASTLIGHT_NO_SPAN, "%u", span);
  IS(lastlight_span_start(trace, LASTLIGHT_NO_SPAN, text(NULL), UINT64_MAX, &span), LASTLIGHT_OK);
  IS(lastlight_span_start(trace, span, text("b"), 1, &second), LASTLIGHT_OK);
  IS(lastlight_span_start(trace, span, text("c"), 1, &third), LASTLIGHT_NO_ROOM);
  IS(lastlight_span_tag(trace, third, text("a"), text("b")), LASTLIGHT_INVALID);
  IS(lastlight_span_tag(trace, span, text(NULL), text("b")), LASTLIGHT_INVALID);
  lastlight_str long_one = {"x", SIZE_MAX};
  IS(lastlight_span_tag(trace, span, text("a"), long_one), LASTLIGHT_TOO_BIG);
  IS(lastlight_span_metric(trace, span, text("a"), 0.0 / (double)(span * 0.0)), LASTLIGHT_INVALID);
  IS(lastlight_trace_keep(trace, 77), LASTLIGHT_INVALID);
  IS(lastlight_span_finish(trace, second, UINT64_MAX), LASTLIGHT_OK);
  IS(lastlight_span_finish(trace, second, 1), LASTLIGHT_INVALID);
  IS(lastlight_trace_extract(trace, NULL, 0), LASTLIGHT_INVALID);
  IS(lastlight_trace_submit(NULL, trace), LASTLIGHT_INVALID);
  IS(lastlight_trace_submit(agent, NULL), LASTLIGHT_INVALID);
  IS(lastlight_trace_submit(agent, trace), LASTLIGHT_OK);
  IS(lastlight_trace_submit(agent, trace), LASTLIGHT_EMPTY);
  IS(lastlight_trace_extract(trace, NULL, 0), LASTLIGHT_EMPTY);

  /* What is no trace is refused by the sidecar or by its agent, and harms nobody. */
  const char *garbage = "\xdf\xff\xff\xff\xff no msgpack";
  for (uint32_t kind = 1; kind <= 7; kind++)
    IS(lastlight_submit(agent, kind, NULL, 0, (const uint8_t *)garbage, 16), LASTLIGHT_OK);
  lastlight_settle(agent, 10000);

  IS(lastlight_close(agent, 10000, NULL), LASTLIGHT_OK);
  IS(lastlight_close(agent, 10000, NULL), LASTLIGHT_OK);
  IS(lastlight_submit(agent, 1, NULL, 0, &byte, 1), LASTLIGHT_CLOSED);
  IS(one_span(agent, trace, "late"), LASTLIGHT_CLOSED);
  IS(lastlight_ensure(agent), LASTLIGHT_CLOSED);
  IS(lastlight_pump(agent), LASTLIGHT_CLOSED);
  IS(lastlight_flush(agent, 1), LASTLIGHT_CLOSED);
  IS(lastlight_settle(agent, 1), LASTLIGHT_CLOSED);
  length = sizeof line;
  IS(lastlight_server_stats(agent, 1, line, &length), LASTLIGHT_CLOSED);
  counts.size = sizeof counts;
  IS(lastlight_counts(agent, &counts), LASTLIGHT_OK);
  CHECK(counts.submitted == counts.accepted + counts.refused + counts.lost + counts.waiting, "counts");
  lastlight_trace_free(trace);
  lastlight_free(agent);
  return failures;
}

/* Ends without a close, in the middle: no handler at the exit, nobody waited for. */
static int unclosed(void) {
  lastlight *agent = NULL;
  IS(lastlight_open(NULL, &agent), LASTLIGHT_OK);
  IS(one_span(agent, new_trace(), "unclosed"), LASTLIGHT_OK);
  return failures;
}

/* Takes all memory, then goes on. */
static void *hoard[1 << 20];

static int memory(void) {
  lastlight *agent = NULL;
  IS(lastlight_open(NULL, &agent), LASTLIGHT_OK);
  lastlight_trace *trace = new_trace();
  IS(one_span(agent, trace, "before"), LASTLIGHT_OK);
  IS(lastlight_settle(agent, 10000), LASTLIGHT_OK);
  size_t big = 8u << 20;
  uint8_t *payload = calloc(1, big);

  struct rlimit limit;
  getrlimit(RLIMIT_AS, &limit);
  FILE *statm = fopen("/proc/self/statm", "r");
  unsigned long pages = 0;
  CHECK(statm && fscanf(statm, "%lu", &pages) == 1, "statm");
  fclose(statm);
  limit.rlim_cur = pages * (unsigned long)sysconf(_SC_PAGESIZE) + (16u << 20);
  CHECK(setrlimit(RLIMIT_AS, &limit) == 0, "RLIMIT_AS");
  size_t held = 0;
  for (size_t size = 1u << 20; size >= 16; size /= 2)
    while (held < sizeof hoard / sizeof *hoard && (hoard[held] = malloc(size)) != NULL) held++;
  CHECK(malloc(64) == NULL, "there is memory");

  /* Every call answers. */
  int refused = 0, taken = 0;
  for (int round = 0; round < 2000; round++) {
    uint32_t span = LASTLIGHT_NO_SPAN;
    lastlight_span_start(trace, LASTLIGHT_NO_SPAN, text("without"), 1, &span);
    for (int tag = 0; tag < 20; tag++) {
      char key[32];
      snprintf(key, sizeof key, "key.%d", tag);
      lastlight_span_tag(trace, span, text(key), text("some value that takes a few bytes"));
    }
    lastlight_result result = lastlight_trace_submit(agent, trace);
    refused += result == LASTLIGHT_NO_MEMORY;
    taken += result == LASTLIGHT_OK;
    CHECK(result != LASTLIGHT_PANICKED, "a panic");
    if (round % 100 == 0) {
      result = lastlight_submit(agent, LASTLIGHT_LOGS, NULL, 0, payload, big);
      CHECK(result != LASTLIGHT_PANICKED, "a panic");
      lastlight_counts_t counts;
      memset(&counts, 0, sizeof counts);
      counts.size = sizeof counts;
      lastlight_counts(agent, &counts);
      lastlight_settle(agent, 50);
      lastlight_flush(agent, 50);
      lastlight *other = NULL;
      if (lastlight_open(NULL, &other) == LASTLIGHT_OK) {
        lastlight_close(other, 50, NULL);
        lastlight_free(other);
      }
      lastlight_trace *another = NULL;
      if (lastlight_trace_new(NULL, &another) == LASTLIGHT_OK) lastlight_trace_free(another);
    }
  }
  /* A trace that grows for as long as it may. */
  static char long_text[4096];
  memset(long_text, 'x', sizeof long_text);
  lastlight_str value = {long_text, sizeof long_text};
  uint32_t deep = LASTLIGHT_NO_SPAN;
  int grown = 0;
  for (int round = 0; round < 4000; round++) {
    lastlight_span_start(trace, deep, text("deep"), 1, &deep);
    char key[32];
    snprintf(key, sizeof key, "long.%d", round);
    grown += lastlight_span_tag(trace, deep, text(key), value) == LASTLIGHT_OK;
  }
  CHECK(grown < 4000, "there is memory");
  lastlight_result grown_result = lastlight_trace_submit(agent, trace);
  CHECK(grown_result != LASTLIGHT_PANICKED, "a panic");

  while (held > 0) free(hoard[--held]);
  limit.rlim_cur = limit.rlim_max;
  setrlimit(RLIMIT_AS, &limit);
  CHECK(refused + taken > 0, "nothing was answered");

  /* And when there is memory again everything goes on. */
  while (lastlight_trace_submit(agent, trace) == LASTLIGHT_NO_ROOM) lastlight_settle(agent, 100);
  lastlight_result last = LASTLIGHT_NO_ROOM;
  for (int round = 0; round < 200 && last == LASTLIGHT_NO_ROOM; round++, lastlight_settle(agent, 100))
    last = one_span(agent, trace, "again");
  IS(last, LASTLIGHT_OK);
  IS(lastlight_flush(agent, 20000), LASTLIGHT_OK);
  IS(lastlight_close(agent, 20000, NULL), LASTLIGHT_OK);
  lastlight_trace_free(trace);
  lastlight_free(agent);
  free(payload);
  return failures;
}

/* Many threads at one handle while others fork. */
static lastlight *shared;

static void *submit_much(void *unused) {
  lastlight_trace *trace = new_trace();
  for (int round = 0; round < 100; round++) {
    lastlight_result result;
    while ((result = one_span(shared, trace, "shared")) == LASTLIGHT_NO_ROOM) {
      lastlight_trace_free(trace);
      trace = new_trace();
      lastlight_settle(shared, 100);
    }
    IS(result, LASTLIGHT_OK);
  }
  lastlight_trace_free(trace);
  return unused;
}

static int threads(void) {
  IS(lastlight_open(NULL, &shared), LASTLIGHT_OK);
  pthread_t working[4];
  for (int thread = 0; thread < 4; thread++) pthread_create(&working[thread], NULL, submit_much, NULL);
  for (int child = 0; child < 20; child++) {
    pid_t forked = fork();
    if (forked == 0) {
      /* Other threads held locks when this process came to be. */
      lastlight_trace *trace = new_trace();
      IS(one_span(shared, trace, "child"), LASTLIGHT_OK);
      IS(lastlight_close(shared, 20000, NULL), LASTLIGHT_OK);
      _exit(failures ? 1 : 0);
    }
    int status = 1;
    CHECK(waitpid(forked, &status, 0) == forked && status == 0, "a child: %d", status);
  }
  for (int thread = 0; thread < 4; thread++) pthread_join(working[thread], NULL);
  IS(lastlight_flush(shared, 20000), LASTLIGHT_OK);
  IS(lastlight_close(shared, 20000, NULL), LASTLIGHT_OK);
  lastlight_free(shared);
  return failures;
}

int main(int argc, char **argv) {
  const char *what = argc > 1 ? argv[1] : "";
  int number = argc > 2 ? atoi(argv[2]) : 0;
  if (strcmp(what, "quiet") == 0) return quiet(number) != 0;
  if (strcmp(what, "tree") == 0) return tree(number) != 0;
  if (strcmp(what, "hostile") == 0) return hostile() != 0;
  if (strcmp(what, "unclosed") == 0) return unclosed() != 0;
  if (strcmp(what, "memory") == 0) return memory() != 0;
  if (strcmp(what, "threads") == 0) return threads() != 0;
  fprintf(stderr, "guest quiet THREADS | tree DEPTH | hostile | unclosed | memory | threads\n");
  return 64;
}
