"""A cloud function that starts the compat layer as its users do, then its tracer, and counts with a DogStatsD client.

Prints what it sent as one JSON line, like python_client.py.
"""

import json
import os
import sys
import time
import urllib.error
import urllib.request

from datadog_serverless_compat import start

start()
for _ in range(2000):
    try:
        with urllib.request.urlopen(os.environ["DD_TRACE_AGENT_URL"] + "/info", timeout=5):
            break
    except urllib.error.URLError:
        time.sleep(0.005)
else:
    sys.exit("the compat layer's agent does not answer")

from datadog import statsd  # noqa: E402
from ddtrace.trace import tracer  # noqa: E402

spans = []
for number in range(int(sys.argv[1])):
    with tracer.trace("function.invoke", service="function", resource=f"handler-{number}") as span:
        spans.append(span.span_id)
        statsd.increment("function.calls", tags=["by:python"])
        statsd.distribution("function.size", number + 0.5)
        statsd.histogram("function.time", number + 0.5)
tracer.flush()
print(json.dumps({"spans": spans, "counted": len(spans)}), flush=True)
