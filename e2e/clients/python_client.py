"""A program instrumented by ddtrace. Prints what it sent as one JSON line: `{"spans": [ids], "counted": n}`,
where n of the spans count in statistics.

    python_client.py traces N          N traces of 4 spans, then the end of the program
    python_client.py wait N [AGENT]    the same, flushed; then waits for SIGTERM, and ends by leaving.
                                       AGENT is started first, as a compat layer starts it
    python_client.py hold N [AGENT]    like wait, but not flushed: the spans are sent while the program ends
"""

import json
import os
import select
import signal
import subprocess
import sys
import time
import urllib.error
import urllib.request


def start_agent(path):
    """Starts the agent as the compat layer does, and waits until it answers: tracers look once."""
    subprocess.Popen([path])
    for _ in range(2000):
        try:
            with urllib.request.urlopen(os.environ["DD_TRACE_AGENT_URL"] + "/info", timeout=5):
                return
        except urllib.error.URLError:
            time.sleep(0.005)
    sys.exit("the agent does not answer")


mode, count = sys.argv[1], int(sys.argv[2])
if len(sys.argv) > 3:
    start_agent(sys.argv[3])

from ddtrace.trace import tracer  # noqa: E402  (connects, so the agent first)

# A pipe: an event's lock may be held by the very wait that the signal interrupts, and then both wait for ever.
asked, ask = os.pipe()
signal.signal(signal.SIGTERM, lambda *_: os.write(ask, b"."))


def serve(number):
    """One request of a small service: 4 spans, 3 of them counted in statistics."""
    with tracer.trace("web.request", service="shop", resource=f"GET /orders/{number}", span_type="web") as root:
        root.set_tag("http.method", "GET")
        root.set_tag("http.status_code", "200")
        root.set_tag("span.kind", "server")
        ids = [root.span_id]
        with tracer.trace("shop.handler", resource="show_order") as handler:
            ids.append(handler.span_id)
            query = f"SELECT * FROM orders WHERE id = {number} AND state = 'open'"
            with tracer.trace("postgres.query", service="db", resource=query, span_type="sql") as query_span:
                query_span.set_tag("span.kind", "client")
                ids.append(query_span.span_id)
            with tracer.trace("redis.command", service="cache", resource="GET session:1", span_type="redis") as get:
                get.set_tag("span.kind", "client")
                get.set_tag("redis.raw_command", "GET session:1")
                ids.append(get.span_id)
    return ids


spans = []
if os.environ.get("DD_TRACE_STATS_COMPUTATION_ENABLED") == "true":
    # The tracer counts from the moment it has heard that the agent lets it; until then the agent does.
    spans += serve(count)
    tracer.flush()
    time.sleep(0.3)
    count += 1
spans += [span for number in range(count - len(spans) // 4) for span in serve(number)]
if mode == "wait":
    tracer.flush()
print(json.dumps({"spans": spans, "counted": 3 * count}), flush=True)
if mode != "traces":
    select.select([asked], [], [], 60)
