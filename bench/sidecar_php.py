"""PHP-FPM behind nginx under a load generator, without the extension, with it loaded, and with it on."""

import contextlib
import os
import pathlib
import re
import shutil
import signal
import socket
import subprocess
import sys
import tempfile
import time
import uuid

import agents
import measure

SOURCES = pathlib.Path(__file__).resolve().parent / "sidecar"
# Lines of php.ini of each pool; nothing: without the extension. The second one without it says what is chance.
POOLS = {
    "off": [],
    "off again": [],
    "loaded": ["lastlight.enabled=0"],
    "thread": ["lastlight.sidecar_connection_mode=thread"],
    "subprocess": ["lastlight.sidecar_connection_mode=subprocess"],
}
# Requests of a round of each page; rounds in which all pools take their turns, as many as there is time for.
PAGES, ROUNDS_MIN, ROUNDS_MAX, ROUNDS_SECONDS = {"real": 500, "trivial": 2_000}, 5, 25, 80
WORKERS, CONNECTIONS = 2, 4
START_MAX_SECONDS, AB_MAX_SECONDS = 10, 60


def build():
    """The extension, and why there is none."""
    fpm, nginx = programs()
    needed = {"php-fpm": fpm, "nginx": nginx} | {tool: shutil.which(tool) for tool in ("phpize", "ab")}
    lacking = [tool for tool, found in needed.items() if not found]
    if lacking:
        return None, f"{', '.join(lacking)} not installed"
    built = agents.HERE / "out/php"
    built.mkdir(parents=True, exist_ok=True)
    command = [agents.REPOSITORY / "bindings/php/build", built]
    if subprocess.run(command, stdout=subprocess.DEVNULL).returncode:
        return None, "the extension could not be built"
    return built / "lastlight.so", ""


def programs():
    """PHP-FPM and nginx, which may be where ordinary users do not look."""
    fpm = next(iter(sorted(pathlib.Path("/usr/sbin").glob("php-fpm*"))), None)
    return fpm, shutil.which("nginx", path=os.environ.get("PATH", "") + ":/usr/sbin")


def run(lastlight, extension, environment):
    """Figures by page and pool of each round."""
    fpm, nginx = programs()
    with contextlib.ExitStack() as stack:
        # Its workers are somebody else's, who may not look into this checkout.
        folder = pathlib.Path(stack.enter_context(tempfile.TemporaryDirectory(prefix="bench-php-")))
        folder.chmod(0o755)
        shutil.copy(extension, folder / "lastlight.so")
        shutil.copy(lastlight, folder / "lastlight")
        shutil.copy(SOURCES / "page.php", folder)
        pools = {name: stack.enter_context(Pool(fpm, name, lines, folder, environment)) for name, lines in POOLS.items()}
        port = stack.enter_context(served(nginx, folder))
        return measured(pools, port)


def measured(pools, port):
    for page, name in ((page, name) for page in PAGES for name in pools):
        load(port, name, page, PAGES[page] // 4)
    for name, pool in pools.items():
        if bool(pool.server()) != (name == "subprocess"):
            raise measure.Failed(f"pool {name}: the sidecar is not where it should be: {pool.said()}")
    found = {page: {name: [] for name in pools} for page in PAGES}
    names = list(pools)
    end = time.monotonic() + ROUNDS_SECONDS
    for number in range(ROUNDS_MAX):
        if number >= ROUNDS_MIN and time.monotonic() > end:
            break
        # Another order in each round, and the other way round in every second one.
        turn = number % len(names)
        order = names[turn:] + names[:turn]
        for page, count in PAGES.items():
            for name in order[:: -1 if number % 2 else 1]:
                found[page][name].append(pools[name].loaded(port, page, count))
    return found


def load(port, name, page, count):
    """Requests a second."""
    url = f"http://127.0.0.1:{port}/{name.replace(' ', '-')}/{page}"
    command = ["ab", "-q", "-k", "-c", CONNECTIONS, "-n", count, url]
    ended = subprocess.run([str(word) for word in command], capture_output=True, text=True, timeout=AB_MAX_SECONDS)

    def number(what):
        shown = re.search(rf"^{what}:\s+([\d.]+)", ended.stdout, re.M)
        return float(shown[1]) if shown else 0

    failed = number("Failed requests") + number("Non-2xx responses")
    if ended.returncode or failed or number("Complete requests") != count:
        raise measure.Failed(f"{url}: {ended.stderr or ended.stdout}")
    return number("Requests per second")


class Pool:
    """A PHP-FPM of its own with one pool."""

    def __init__(self, fpm, name, lines, folder, environment):
        self.fpm, self.name, self.lines, self.folder = fpm, name.replace(" ", "-"), lines, folder
        self.mark = uuid.uuid4().hex
        self.environment = environment | {"BENCH_SIDECAR": self.mark, "PHP_INI_SCAN_DIR": str(folder / "none")}
        self.log = folder / f"{self.name}.log"

    def __enter__(self):
        ini = self.folder / f"{self.name}.ini"
        common = ["zend_extension=opcache", "opcache.enable=1", f"error_log={self.log}", "log_errors=1"]
        extension = [f"extension={self.folder}/lastlight.so", f"lastlight.binary={self.folder}/lastlight"]
        ini.write_text("\n".join(common + (extension + self.lines if self.lines else [])) + "\n")
        self.log.touch()
        self.log.chmod(0o666)
        place = self.folder / f"{self.name}.socket"
        whose = ["user = www-data", "group = www-data"] if os.getuid() == 0 else []
        conf = self.folder / f"{self.name}.conf"
        conf.write_text(
            "\n".join(
                ["[global]", f"error_log = {self.log}", "[bench]", *whose, f"listen = {place}", "listen.mode = 0666"]
                + ["listen.backlog = 1024", "pm = static", f"pm.max_children = {WORKERS}", ""]
            )
        )
        command = [self.fpm, "-F", "-c", ini, "-y", conf]
        self.process = subprocess.Popen(command, env=self.environment, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
        deadline = time.monotonic() + START_MAX_SECONDS
        while not place.exists():
            if self.process.poll() is not None or time.monotonic() > deadline:
                self.__exit__()
                raise measure.Failed(f"PHP-FPM did not start: {self.said()}")
            time.sleep(0.02)
        return self

    def __exit__(self, *_):
        self.process.send_signal(signal.SIGQUIT)
        try:
            self.process.wait(START_MAX_SECONDS)
        except subprocess.TimeoutExpired:
            self.process.kill()
            self.process.wait()

    def said(self):
        return self.log.read_text()

    def workers(self):
        pid = self.process.pid
        return [int(word) for word in pathlib.Path(f"/proc/{pid}/task/{pid}/children").read_text().split()]

    def server(self):
        """The subprocess of its sidecar: whoever has its mark and is neither the master nor a worker."""
        ours = {self.process.pid, *self.workers()}
        for one in pathlib.Path("/proc").glob("[0-9]*"):
            with contextlib.suppress(OSError):
                if int(one.name) not in ours and self.mark.encode() in (one / "environ").read_bytes():
                    return int(one.name)
        return None

    def loaded(self, port, page, count):
        """One load: requests a second, and CPU of the workers and of the sidecar per request."""
        workers, others = self.workers(), [self.process.pid, *filter(None, [self.server()])]
        before = ran(workers), ran(others)
        rate = load(port, self.name, page, count)
        after = ran(workers), ran(others)
        if workers != self.workers():
            raise measure.Failed(f"pool {self.name}: a worker was replaced: {self.said()}")
        worker, other = ((now - then) * 1e6 / count for then, now in zip(before, after))
        return {"rate": rate, "worker_cpu_us": worker, "sidecar_cpu_us": other}


def ran(pids):
    """Seconds that their threads ran."""
    tasks = [task for pid in pids for task in pathlib.Path(f"/proc/{pid}/task").iterdir()]
    return sum(int((task / "schedstat").read_text().split()[0]) for task in tasks) / 1e9


@contextlib.contextmanager
def served(nginx, folder):
    """nginx in front of all of them: its port."""
    port = measure.free_port()
    places = [
        f"location /{name}/ {{ fastcgi_pass unix:{folder}/{name}.socket; fastcgi_param SCRIPT_FILENAME {folder}/page.php;"
        " fastcgi_param REQUEST_METHOD $request_method; fastcgi_param REQUEST_URI $request_uri;"
        " fastcgi_param QUERY_STRING $query_string; fastcgi_param SERVER_PROTOCOL $server_protocol;"
        " fastcgi_param SERVER_NAME $server_name; fastcgi_param REMOTE_ADDR $remote_addr; }"
        for name in (name.replace(" ", "-") for name in POOLS)
    ]
    paths = [f"{what}_temp_path {folder}/nginx-{what};" for what in ("client_body", "fastcgi", "proxy", "scgi", "uwsgi")]
    lines = [
        "daemon off; worker_processes 1;",
        "user www-data;" if os.getuid() == 0 else "",
        f"pid {folder}/nginx.pid; error_log {folder}/nginx.log;",
        "events { worker_connections 256; }",
        "http { access_log off; keepalive_requests 1000000;",
        *paths,
        f"server {{ listen 127.0.0.1:{port};",
        *places,
        "} }",
    ]
    conf = folder / "nginx.conf"
    conf.write_text("\n".join(lines))
    process = subprocess.Popen([nginx, "-e", folder / "nginx.log", "-c", conf], stderr=sys.stderr)
    try:
        deadline = time.monotonic() + START_MAX_SECONDS
        while True:
            with contextlib.suppress(OSError), socket.create_connection(("127.0.0.1", port), 1):
                break
            if process.poll() is not None or time.monotonic() > deadline:
                raise measure.Failed("nginx did not start")
            time.sleep(0.02)
        yield port
    finally:
        process.terminate()
        process.wait()
