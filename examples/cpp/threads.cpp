// Threads that share one handle, each with a trace of its own; both held by objects that give them back.
// threads THREADS REQUESTS
#include <lastlight.h>

#include <chrono>
#include <cstdio>
#include <cstdlib>
#include <cstring>
#include <memory>
#include <stdexcept>
#include <string>
#include <thread>
#include <vector>

namespace {

lastlight_str text(const std::string &words) {
  lastlight_str borrowed;
  borrowed.data = words.data();
  borrowed.length = words.size();
  return borrowed;
}

void must(lastlight_result result) {
  if (result != LASTLIGHT_OK) throw std::runtime_error(lastlight_result_text(static_cast<int32_t>(result)));
}

template <typename Clock>
uint64_t nanoseconds() {
  const auto since = Clock::now().time_since_epoch();
  return static_cast<uint64_t>(std::chrono::duration_cast<std::chrono::nanoseconds>(since).count());
}

struct Free {
  void operator()(lastlight *agent) const { lastlight_free(agent); }
  void operator()(lastlight_trace *trace) const { lastlight_trace_free(trace); }
};
using Agent = std::unique_ptr<lastlight, Free>;
using Trace = std::unique_ptr<lastlight_trace, Free>;

Agent open() {
  lastlight *agent = nullptr;
  must(lastlight_open(nullptr, &agent));
  return Agent(agent);
}

Trace trace(const std::string &service) {
  lastlight_trace_options options;
  std::memset(&options, 0, sizeof options);
  const std::string language = "cpp";
  options.size = sizeof options;
  options.service = text(service);
  options.language = text(language);
  lastlight_trace *made = nullptr;
  must(lastlight_trace_new(&options, &made));
  return Trace(made);
}

void work(lastlight *agent, int requests) {
  const Trace mine = trace("threads");
  for (int request = 0; request < requests; request++) {
    const uint64_t begun = nanoseconds<std::chrono::steady_clock>();
    uint32_t root = LASTLIGHT_NO_SPAN;
    must(lastlight_span_start(mine.get(), LASTLIGHT_NO_SPAN, text("job.run"),
                              nanoseconds<std::chrono::system_clock>(), &root));
    must(lastlight_span_tag(mine.get(), root, text("request"), text(std::to_string(request))));
    must(lastlight_span_finish(mine.get(), root, nanoseconds<std::chrono::steady_clock>() - begun));
    while (lastlight_trace_submit(agent, mine.get()) == LASTLIGHT_NO_ROOM) lastlight_settle(agent, 100);
  }
}

}  // namespace

int main(int argc, char **argv) {
  const int threads = argc > 1 ? std::atoi(argv[1]) : 4, requests = argc > 2 ? std::atoi(argv[2]) : 100;
  const Agent agent = open();
  std::vector<std::thread> working;
  for (int thread = 0; thread < threads; thread++) working.emplace_back(work, agent.get(), requests);
  for (std::thread &thread : working) thread.join();
  const bool delivered = lastlight_flush(agent.get(), 10000) == LASTLIGHT_OK;
  const bool closed = lastlight_close(agent.get(), 10000, nullptr) == LASTLIGHT_OK;
  return delivered && closed ? 0 : 1;
}
