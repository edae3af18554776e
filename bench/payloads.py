"""What tracers send, as files: the load generator's requests, taken down."""

import contextlib
import http.server
import struct
import subprocess
import threading


def write(tools, file, count, traces, spans):
    """Writes so many v0.4 payloads, each after its numbers of spans and of bytes: the mean length."""
    with taking() as (port, taken):
        command = [tools / "testkit-load", "--port", port, "--requests", count, "--seconds", 60]
        command += ["--traces", traces, "--spans", spans]
        subprocess.run([str(word) for word in command], check=True, capture_output=True)
    with open(file, "wb") as out:
        for body in taken:
            out.write(struct.pack("<II", traces * spans, len(body)) + body)
    return sum(map(len, taken)) / len(taken)


@contextlib.contextmanager
def taking():
    """A server that says yes to everything: its port, and the bodies that it got."""
    taken = []

    class Taker(http.server.BaseHTTPRequestHandler):
        protocol_version = "HTTP/1.1"

        def do_POST(self):
            taken.append(self.rfile.read(int(self.headers["content-length"])))
            self.do_GET()

        do_PUT = do_POST

        def do_GET(self):
            self.send_response(200)
            self.send_header("content-length", "2")
            self.end_headers()
            self.wfile.write(b"{}")

        def log_message(self, *_):
            pass

    with http.server.ThreadingHTTPServer(("127.0.0.1", 0), Taker) as server:
        thread = threading.Thread(target=server.serve_forever)
        thread.start()
        try:
            yield server.server_address[1], taken
        finally:
            server.shutdown()
            thread.join()
