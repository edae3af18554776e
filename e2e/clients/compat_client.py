"""A cloud function that starts the compat layer as its users do, and then its tracer.

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

from ddtrace.trace import tracer  # noqa: E402

spans = []
for number in range(int(sys.argv[1])):
    with tracer.trace("function.invoke", service="function", resource=f"handler-{number}") as span:
        spans.append(span.span_id)
tracer.flush()
print(json.dumps({"spans": spans, "counted": len(spans)}), flush=True)
