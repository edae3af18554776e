"""A program with the DogStatsD client `datadog`, which reads where to send from DD_DOGSTATSD_URL. Prints as one
JSON line what it sent; what a sample rate left out is not in it.

    statsd_client.py every ROUNDS [buffered] [telemetry]   every type
    statsd_client.py stop PID BEFORE                       BEFORE counts, then SIGTERM to PID, and on until nobody
                                                           listens: {"before": n, "sent": n}
"""

import itertools
import json
import os
import signal
import sys
import time

import datadog.dogstatsd.base as base

mode = sys.argv[1]
buffered, telemetry = "buffered" in sys.argv, "telemetry" in sys.argv
# Every second sample of those with a rate.
draws = itertools.cycle([0.25, 0.75])
base.random = lambda: next(draws)
statsd = base.DogStatsd(
    disable_buffering=not buffered,
    # The client's thread that flushes may lose one of what the client counts itself.
    flush_interval=0 if telemetry else 0.3,
    # Counted in any case, and told with every packet or never.
    telemetry_min_flush_interval=0 if telemetry else 3600,
    # A Unix socket takes ten datagrams at a time; without this the client drops what does not fit.
    socket_timeout=10,
)


def stop(pid, before):
    """Counts on while the agent ends."""
    asked, deadline = False, time.monotonic() + 30
    while statsd.packets_dropped < 3 and time.monotonic() < deadline:
        if statsd.packets_sent == before and not asked:
            os.kill(pid, signal.SIGTERM)
            asked = True
        statsd.increment("stop.sent", tags=["by:python"])
    print(json.dumps({"before": before, "sent": statsd.packets_sent}), flush=True)


def every(rounds):
    """Every type, some with tags, some with a rate, some with a time."""
    samples = []

    def send(method, kind, name, value, tags=None, rate=1, time=None):
        options = {"tags": tags}
        if rate != 1:
            options["sample_rate"] = rate
        if time:
            options["timestamp"] = time
        method(name, value, **options)
        samples.append({"type": kind, "name": name, "value": value, "tags": tags or [], "rate": rate, "time": time})

    minute_ago = int(time.time()) - 60
    for number in range(rounds):
        shop = [f"shop:{number % 3}", "plain"]
        send(statsd.increment, "c", "shop.orders", 1, shop)
        send(statsd.count, "c", "shop.items", number)
        send(statsd.decrement, "c", "shop.returns", 1)
        samples[-1]["value"] = -1
        send(statsd.gauge, "g", "shop.stock", number * 0.5, shop)
        send(statsd.histogram, "h", "shop.basket", number % 100 + 0.25, shop)
        send(statsd.timing, "ms", "shop.wait", number % 50)
        send(statsd.distribution, "d", "shop.size", number * 0.25 - 10, shop)
        send(statsd.set, "s", "shop.users", f"user-{number % 17}")
        for method, kind, name in [
            (statsd.increment, "c", "shop.clicks"),
            (statsd.histogram, "h", "shop.hovers"),
            (statsd.distribution, "d", "shop.scrolls"),
        ]:
            send(method, kind, name, 3, rate=0.5)
            if number % 2 == 1:
                samples.pop()
        # A line of its own each, which at full speed would be no normal rate.
        time.sleep(0.0005)
    send(statsd.count_with_timestamp, "c", "shop.late", 20, ["plain"], time=minute_ago)
    send(statsd.gauge_with_timestamp, "g", "shop.late.level", 21.5, ["plain"], time=minute_ago)
    statsd.event(
        "Sold out: ünïcode", "first line\nsecond | line", alert_type="warning", aggregation_key="sales",
        source_type_name="shop", priority="low", tags=["kind:sale"], date_happened=minute_ago, hostname="till",
    )
    statsd.event("Plain", "text")
    statsd.service_check("shop.open", statsd.OK, tags=["door:front"], message="all: well")
    statsd.service_check("shop.till", statsd.CRITICAL, timestamp=minute_ago, hostname="till")
    statsd.flush()
    events = [
        {"title": "Sold out: ünïcode", "text": "first line\nsecond | line", "alert_type": "warning",
         "aggregation_key": "sales", "source_type_name": "shop", "priority": "low", "tags": ["kind:sale"],
         "timestamp": minute_ago, "host": "till"},
        {"title": "Plain", "text": "text", "tags": []},
    ]
    checks = [
        {"check": "shop.open", "status": 0, "tags": ["door:front"], "message": "all: well"},
        {"check": "shop.till", "status": 2, "tags": [], "timestamp": minute_ago, "host_name": "till"},
    ]
    sent = {"samples": samples, "events": events, "checks": checks, "dropped": statsd.packets_dropped}
    if telemetry:
        # What a rate left out counts too.
        sent["client_metrics"] = rounds * 11 + 2
    print(json.dumps(sent), flush=True)


if mode == "stop":
    stop(int(sys.argv[2]), int(sys.argv[3]))
else:
    every(int(sys.argv[2]))
