"""What is measured, where it comes from and how it is started."""

import dataclasses
import json
import os
import pathlib
import subprocess
import sys
import zipfile

HERE = pathlib.Path(__file__).resolve().parent
DEPS = HERE / ".deps"
REPOSITORY = HERE.parent

MINI = "datadog-serverless-compat==0.19.0"
ROTEL = "rotel==0.0.1a15"


@dataclasses.dataclass
class Agent:
    """An agent: `{port}` is where it listens, `{backend}` the URL it sends to."""

    name: str
    title: str
    binary: pathlib.Path
    environment: dict
    arguments: list = dataclasses.field(default_factory=list)
    format: str = "v04"
    # Sends to the backend, so that losses can be counted.
    forwards: bool = True
    missing: str = ""

    def command(self, **places):
        return [str(self.binary)] + [word.format(**places) for word in self.arguments]

    def variables(self, **places):
        return {key: value.format(**places) for key, value in self.environment.items()}


def everyone(tools, lastlight):
    """Every agent, the ones that cannot be had marked as missing."""
    common = {"DD_API_KEY": "0" * 32, "DD_APM_DD_URL": "{backend}", "DD_APM_RECEIVER_PORT": "{port}"}
    mini, no_mini = wheel(MINI, "datadog_serverless_compat/bin/linux-amd64/datadog-serverless-compat")
    rotel, no_rotel = wheel(ROTEL, "rotel/rotel-agent")
    return [
        Agent(
            "mini",
            f"mini agent ({MINI.partition('==')[2]})",
            mini,
            common
            | {
                # Starts on a plain machine, without files or metadata look-ups.
                "ASCSVCRT_SPRING__APPLICATION__NAME": "bench",
                "DD_AGENT_STATS_COMPUTATION_ENABLED": "true",
                "DD_LOG_LEVEL": "error",
                # Metrics always go to this site; nothing of the load is a metric.
                "DD_SITE": "localhost.invalid",
            },
            missing=no_mini,
        ),
        Agent(
            "rotel",
            f"rotel ({ROTEL.partition('==')[2]}, OTLP in, no obfuscation, no stats)",
            rotel,
            {"ROTEL_OTLP_HTTP_ENDPOINT": "127.0.0.1:{port}", "ROTEL_OTLP_GRPC_ENDPOINT": "127.0.0.1:0"},
            [
                "start",
                *("--exporter", "datadog", "--datadog-exporter-custom-endpoint", "{backend}"),
                *("--datadog-exporter-api-key", "0" * 32),
            ],
            format="otlp",
            missing=no_rotel,
        ),
        Agent(
            "lastlight",
            "lastlight",
            lastlight or pathlib.Path("lastlight"),
            common,
            missing="" if lastlight and lastlight.exists() else "there is no such binary",
        ),
        Agent("sink", "bare HTTP server", tools / "testkit-sink", {}, ["--port", "{port}"], forwards=False),
    ]


def metric_agents(tools, lastlight):
    """Those that take DogStatsD: `{statsd}` is the UDP port, `{backend_port}` the backend's."""
    mini, rotel, ours, _ = everyone(tools, lastlight)
    del rotel
    mini.environment |= {"DD_DOGSTATSD_PORT": "{statsd}", "DD_SITE": ".0.1:{backend_port}"}
    if not mini.missing:
        mini.binary, mini.missing = sent_here(mini.binary)
    ours.environment |= {"DD_DOGSTATSD_PORT": "{statsd}", "DD_DD_URL": "{backend}", "DD_HOSTNAME": "bench"}
    sink = Agent(
        "sink", "bare recvmmsg loop", tools / "testkit-sink", {}, ["--port", "{port}", "--udp", "{statsd}"], forwards=False
    )
    return [mini, ours, sink]


def sent_here(program):
    """A copy of the mini agent whose metrics go to `http://127.0$DD_SITE`, not `https://api.$DD_SITE`."""
    copy = program.with_name(program.name + "-here")
    code = program.read_bytes()
    there, here = b"https://api.", b"http://127.0"
    if code.count(there) != 1:
        return program, "where it sends metrics to is not found in it"
    copy.write_bytes(code.replace(there, here))
    copy.chmod(0o755)
    return copy, ""


def wheel(requirement, inside):
    """Downloads a wheel once and unpacks it: the path of a program in it, and why not."""
    name = requirement.partition("==")[0].replace("-", "_")
    program = DEPS / name / inside
    if not program.exists():
        DEPS.mkdir(exist_ok=True)
        download = [sys.executable, "-m", "pip", "download", "--quiet", "--no-deps", "--dest", DEPS, requirement]
        if subprocess.run(download).returncode != 0:
            return program, f"{requirement} could not be downloaded"
        for archive in DEPS.glob(f"{name}-*.whl"):
            with zipfile.ZipFile(archive) as opened:
                opened.extractall(DEPS / name)
        if not program.exists():
            return program, f"{requirement} holds no {inside}"
    program.chmod(0o755)
    return program, ""


def build(packages):
    """Builds release binaries: the folder they are in."""
    subprocess.run(["cargo", "build", "--release", "--quiet", *packages], cwd=REPOSITORY, check=True)
    metadata = ["cargo", "metadata", "--format-version=1", "--no-deps"]
    found = subprocess.run(metadata, cwd=REPOSITORY, check=True, capture_output=True)
    return pathlib.Path(json.loads(found.stdout)["target_directory"]) / "release"


def clean_environment():
    """What a started agent inherits: nothing that could configure it."""
    return {key: os.environ[key] for key in ("PATH", "HOME", "LANG") if key in os.environ}


def child():
    """Builds the program that is run under wrappers: its path."""
    program = HERE / "out" / "child"
    command = ["cc", "-O2", "-o", program, HERE / "child.c"]
    # Static where that is possible: it then starts in the least time.
    if subprocess.run([*command, "-static"], capture_output=True).returncode != 0:
        subprocess.run(command, check=True)
    return program
