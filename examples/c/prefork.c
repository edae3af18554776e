/* A server that forks its workers, as many do: the handle is opened before, and every process uses it.
 * prefork WORKERS REQUESTS */
#define _POSIX_C_SOURCE 200809L
#include "common.h"
#include <sys/wait.h>
#include <unistd.h>

static void serve_one_request(lastlight *agent, lastlight_trace *trace, int worker, int request) {
  char resource[64];
  snprintf(resource, sizeof resource, "GET /%d/%d", worker, request);
  uint32_t root = LASTLIGHT_NO_SPAN, query = LASTLIGHT_NO_SPAN;
  uint64_t begun = clock_ns(CLOCK_MONOTONIC), now = clock_ns(CLOCK_REALTIME);

  /* A failure to record is not the request's: none of these is looked at. */
  lastlight_span_start(trace, LASTLIGHT_NO_SPAN, text("web.request"), now, &root);
  lastlight_span_set_resource(trace, root, text(resource));
  lastlight_span_set_type(trace, root, text("web"));
  lastlight_span_start(trace, root, text("db.query"), now, &query);
  lastlight_span_finish(trace, query, clock_ns(CLOCK_MONOTONIC) - begun);
  lastlight_span_metric(trace, root, text("http.status_code"), 200.0);
  lastlight_span_finish(trace, root, clock_ns(CLOCK_MONOTONIC) - begun);

  /* No room is an answer, and the trace is still here: a moment later there is room. A server would rather drop it. */
  while (lastlight_trace_submit(agent, trace) == LASTLIGHT_NO_ROOM) lastlight_settle(agent, 100);
}

static int work(lastlight *agent, lastlight_trace *trace, int worker, int requests) {
  for (int request = 0; request < requests; request++) serve_one_request(agent, trace, worker, request);
  lastlight_counts_t counts;
  memset(&counts, 0, sizeof counts);
  counts.size = sizeof counts;
  /* The sidecar answers for everything that this worker submitted; delivering it is no matter of this process any more. */
  lastlight_result closed = lastlight_close(agent, 10000, &counts);
  lastlight_trace_free(trace);
  lastlight_free(agent);
  if (closed == LASTLIGHT_OK && counts.accepted == (uint64_t)requests) return 0;
  fprintf(stderr, "worker %d: %s, %llu of %d accepted\n", worker, lastlight_result_text((int32_t)closed),
          (unsigned long long)counts.accepted, requests);
  return 1;
}

int main(int argc, char **argv) {
  int workers = argc > 1 ? atoi(argv[1]) : 4, requests = argc > 2 ? atoi(argv[2]) : 100, failed = 0;
  lastlight *agent = NULL;
  must(lastlight_open(NULL, &agent), "open");

  lastlight_trace_options about;
  memset(&about, 0, sizeof about);
  about.size = sizeof about;
  about.service = text("prefork");
  about.language = text("c");
  lastlight_trace *trace = NULL;
  must(lastlight_trace_new(&about, &trace), "trace");

  for (int worker = 0; worker < workers; worker++) {
    pid_t child = fork();
    if (child == 0) _exit(work(agent, trace, worker, requests));
    if (child < 0) failed++;
  }
  for (int status = 0; wait(&status) > 0;) failed += status != 0;

  failed += lastlight_flush(agent, 10000) != LASTLIGHT_OK;
  failed += lastlight_close(agent, 10000, NULL) != LASTLIGHT_OK;
  print_messages(agent);
  lastlight_trace_free(trace);
  lastlight_free(agent);
  return failed != 0;
}
