/* One span, from open to close. The agent is configured by the environment as anywhere: DD_API_KEY, DD_SITE, ... */
#define _POSIX_C_SOURCE 200809L
#include "common.h"

int main(void) {
  lastlight_options options;
  memset(&options, 0, sizeof options);
  options.size = sizeof options;
  lastlight *agent = NULL;
  must(lastlight_open(&options, &agent), "open");

  lastlight_trace_options about;
  memset(&about, 0, sizeof about);
  about.size = sizeof about;
  about.service = text("minimal");
  about.language = text("c");
  lastlight_trace *trace = NULL;
  must(lastlight_trace_new(&about, &trace), "trace");

  uint32_t root = LASTLIGHT_NO_SPAN;
  uint64_t begun = clock_ns(CLOCK_MONOTONIC);
  must(lastlight_span_start(trace, LASTLIGHT_NO_SPAN, text("job.run"), clock_ns(CLOCK_REALTIME), &root), "start");
  must(lastlight_span_tag(trace, root, text("job.kind"), text("example")), "tag");
  must(lastlight_span_finish(trace, root, clock_ns(CLOCK_MONOTONIC) - begun), "finish");
  must(lastlight_trace_submit(agent, trace), "submit");
  lastlight_trace_free(trace);

  /* Sees to it that the backend has it, in at most 5 s each. */
  lastlight_result delivered = lastlight_flush(agent, 5000);
  lastlight_result closed = lastlight_close(agent, 5000, NULL);
  print_messages(agent);
  lastlight_free(agent);
  return delivered == LASTLIGHT_OK && closed == LASTLIGHT_OK ? 0 : 1;
}
