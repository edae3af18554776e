"""A small shop: a web server with a database, and a few customers. Ends by itself.

Nothing here knows of lastlight. `ddtrace.auto` instruments Bottle, sqlite3 and requests, and sends to
the agent that `DD_TRACE_AGENT_URL` names; `datadog.statsd` sends metrics to `DD_AGENT_HOST` and
`DD_DOGSTATSD_PORT`. `lastlight dev` sets all three.
"""

import os

os.environ.setdefault("DD_SERVICE", "shop")
os.environ.setdefault("DD_ENV", "demo")
os.environ.setdefault("DD_VERSION", "1.0.0")

import ddtrace.auto  # noqa: E402, F401  (first, so that what is imported below is instrumented)

import http.client  # noqa: E402
import io  # noqa: E402
import socketserver  # noqa: E402
import sqlite3  # noqa: E402
import threading  # noqa: E402
import time  # noqa: E402
import wsgiref.simple_server  # noqa: E402

import bottle  # noqa: E402
import requests  # noqa: E402
from datadog import statsd  # noqa: E402
from ddtrace.trace import tracer  # noqa: E402

PRODUCTS = [("lamp", 4900), ("lantern", 7900), ("candle", 300), ("torch", 1900), ("beacon", 129900)]
STOCK = [7, 2, 144, 0, 1]
VISIT = ["/", "/product/1", "/product/5", "/invoice", "/checkout/2", "/product/9", "/checkout/4", "/"]

app = bottle.Bottle()
address = None


def database():
    connection = sqlite3.connect("file:shop?mode=memory&cache=shared", uri=True)
    connection.row_factory = sqlite3.Row
    return connection


def pieces_in_stock(product):
    """Asks the stock service, which here is the shop itself."""
    return requests.get(f"{address}/stock/{product}", timeout=5).json()


@app.get("/")
def home():
    rows = database().execute("SELECT id, name, price FROM products ORDER BY name").fetchall()
    return {"products": [dict(row) for row in rows]}


@app.get("/product/<product:int>")
def show(product):
    row = database().execute(
        "SELECT id, name, price FROM products WHERE id = ?", (product,)
    ).fetchone()
    if row is None:
        bottle.response.status = 404
        return {"error": f"no product {product}"}
    return dict(row) | pieces_in_stock(product)


@app.get("/stock/<product:int>")
def stock(product):
    row = database().execute("SELECT pieces FROM stock WHERE product = ?", (product,)).fetchone()
    with tracer.trace("shop.warehouse", resource="count the shelves"):
        time.sleep(0.01)
    return {"pieces": row["pieces"]}


@app.get("/invoice")
def invoice():
    """The classic mistake: a query per line instead of one for all."""
    connection = database()
    total = 0
    for line in range(12):
        row = connection.execute(
            "SELECT price FROM products WHERE id = ?", (line % len(PRODUCTS) + 1,)
        ).fetchone()
        total += row["price"]
    statsd.distribution("shop.invoice.total", total / 100)
    return {"total": total}


@app.get("/checkout/<product:int>")
def checkout(product):
    if not pieces_in_stock(product)["pieces"]:
        statsd.event(f"Product {product} is sold out", "A customer wanted one.", alert_type="warning")
        raise RuntimeError(f"product {product} is sold out")
    connection = database()
    connection.execute("UPDATE stock SET pieces = pieces - 1 WHERE product = ?", (product,))
    connection.commit()
    statsd.increment("shop.orders", tags=[f"product:{product}"])
    statsd.histogram("shop.order.pieces", 1)
    return {"ordered": product}


@tracer.wrap("shop.open")
def open_shop():
    connection = database()
    connection.execute("CREATE TABLE products (id INTEGER PRIMARY KEY, name TEXT, price INTEGER)")
    connection.execute("CREATE TABLE stock (product INTEGER PRIMARY KEY, pieces INTEGER)")
    connection.executemany("INSERT INTO products (name, price) VALUES (?, ?)", PRODUCTS)
    connection.executemany("INSERT INTO stock VALUES (?, ?)", list(enumerate(STOCK, start=1)))
    connection.commit()
    for (name, _), pieces in zip(PRODUCTS, STOCK):
        statsd.gauge("shop.stock", pieces, tags=[f"product:{name}"])
    statsd.service_check("shop.database", statsd.OK)
    return connection


class Server(socketserver.ThreadingMixIn, wsgiref.simple_server.WSGIServer):
    daemon_threads = True


class Silent(wsgiref.simple_server.WSGIRequestHandler):
    """Prints neither requests nor the traceback of the error page: the traces tell."""

    def log_message(self, *_):
        pass

    def get_stderr(self):
        return io.StringIO()


def main():
    global address
    keep = open_shop()  # the database lives as long as a connection to it
    server = wsgiref.simple_server.make_server("127.0.0.1", 0, app, Server, Silent)
    address = f"http://127.0.0.1:{server.server_port}"
    threading.Thread(target=server.serve_forever, daemon=True).start()
    print(f"shop.py: open at {address}", flush=True)
    for path in VISIT:
        # http.client is not instrumented here, as a browser would not be.
        customer = http.client.HTTPConnection("127.0.0.1", server.server_port, timeout=10)
        with statsd.timed("shop.visit.time"):
            customer.request("GET", path)
            status = customer.getresponse().status
        statsd.set("shop.pages", path)
        statsd.increment("shop.visits", tags=[f"status:{status}"])
        print(f"shop.py: GET {path} -> {status}", flush=True)
        customer.close()
    server.shutdown()
    keep.close()
    statsd.flush()


if __name__ == "__main__":
    main()
