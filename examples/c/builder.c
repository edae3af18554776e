/* A trace that somebody else began: context from a request's headers, spans below it, an error, and the headers of a request that
 * this program makes. */
#define _POSIX_C_SOURCE 200809L
#include "common.h"

int main(void) {
  /* Settings of a program's own, over those of the environment. */
  lastlight_pair settings[] = {{text("DD_ENV"), text("example")}};
  lastlight_options options;
  memset(&options, 0, sizeof options);
  options.size = sizeof options;
  options.settings = settings;
  options.settings_count = 1;
  lastlight *agent = NULL;
  must(lastlight_open(&options, &agent), "open");

  lastlight_trace_options about;
  memset(&about, 0, sizeof about);
  about.size = sizeof about;
  about.service = text("builder");
  about.env = text("example");
  about.version = text("1.2.3");
  about.language = text("c");
  lastlight_trace *trace = NULL;
  must(lastlight_trace_new(&about, &trace), "trace");

  lastlight_pair headers[] = {
      {text("Host"), text("shop.example")},
      {text("traceparent"), text("00-0000000000000001000000000000002a-000000000000000b-01")},
  };
  must(lastlight_trace_extract(trace, headers, 2), "extract");

  uint64_t now = clock_ns(CLOCK_REALTIME);
  uint32_t root = LASTLIGHT_NO_SPAN, call = LASTLIGHT_NO_SPAN, lost = LASTLIGHT_NO_SPAN;
  must(lastlight_span_start(trace, LASTLIGHT_NO_SPAN, text("web.request"), now, &root), "start");
  must(lastlight_span_set_resource(trace, root, text("GET /cart")), "resource");
  must(lastlight_span_start(trace, root, text("http.request"), now + 1000, &call), "start");
  must(lastlight_span_set_service(trace, call, text("builder-payments")), "service");
  must(lastlight_span_metric(trace, call, text("payment.amount"), 12.5), "metric");

  /* What the other side has to get. The first call tells how long it is. */
  size_t length = 0;
  if (lastlight_trace_inject(trace, call, NULL, &length) != LASTLIGHT_TOO_BIG) return 1;
  char *lines = malloc(length);
  if (lines == NULL) return 1;
  must(lastlight_trace_inject(trace, call, lines, &length), "inject");
  fwrite(lines, 1, length, stdout);
  free(lines);

  must(lastlight_span_error(trace, call, text("Timeout"), text("no answer from payments"), text(NULL)), "error");
  must(lastlight_span_finish(trace, call, 5000000), "finish");
  /* Nobody finishes this one: it ends with the root, and says so. */
  must(lastlight_span_start(trace, root, text("cache.get"), now + 2000, &lost), "start");
  must(lastlight_span_finish(trace, root, 9000000), "finish");

  /* For the lines of a log. */
  uint64_t high = 0, low = 0, span = 0;
  must(lastlight_span_ids(trace, root, &high, &low, &span), "ids");
  printf("dd.trace_id=%016llx%016llx dd.span_id=%llu\n", (unsigned long long)high, (unsigned long long)low,
         (unsigned long long)span);

  must(lastlight_trace_keep(trace, 2), "keep");
  must(lastlight_trace_submit(agent, trace), "submit");
  lastlight_trace_free(trace);

  /* A metric and an event beside it: lines of DogStatsD. */
  const char *statsd = "cart.viewed:1|c|#shop:example\n_e{4,5}:cart|empty";
  must(lastlight_submit(agent, LASTLIGHT_DOGSTATSD, NULL, 0, (const uint8_t *)statsd, strlen(statsd)), "statsd");

  lastlight_result closed = lastlight_close(agent, 10000, NULL);
  print_messages(agent);
  lastlight_free(agent);
  return closed == LASTLIGHT_OK ? 0 : 1;
}
