"""The C library from Python, by ctypes alone: `Agent` and `Trace`. For processes that fork, too.

LASTLIGHT_LIBRARY says where the library is, else the dynamic linker looks for it.
"""

import contextlib
import ctypes
import os
import time
from ctypes import POINTER, Structure, byref, c_char_p, c_double, c_int, c_int32, c_size_t, c_uint32, c_uint64, c_void_p

OK, NO_ROOM, TIMED_OUT = 0, 1, 4
NO_SPAN = 0xFFFFFFFF
TRACES_V04, DOGSTATSD = 1, 4


class Str(Structure):
    _fields_ = [("data", c_char_p), ("length", c_size_t)]

    def __init__(self, words=None):
        data = words.encode() if isinstance(words, str) else words
        super().__init__(data, len(data or b""))


class Pair(Structure):
    _fields_ = [("name", Str), ("value", Str)]


class Options(Structure):
    _fields_ = [
        ("size", c_size_t),
        ("flags", c_uint32),
        ("ready_within_ms", c_uint32),
        ("mode", Str),
        ("binary", Str),
        ("settings", POINTER(Pair)),
        ("settings_count", c_size_t),
    ]


class TraceOptions(Structure):
    _fields_ = [
        ("size", c_size_t),
        ("flags", c_uint32),
        ("spans_max", c_uint32),
        ("service", Str),
        ("env", Str),
        ("version", Str),
        ("hostname", Str),
        ("language", Str),
        ("sample_rate", c_double),
        ("language_version", Str),
        ("interpreter", Str),
    ]


COUNTS = (
    "submitted accepted refused lost waiting no_room not_taken no_room_answers resent in_parts connected disconnected "
    "squatted promoted taken_back retained unretained"
).split()


class Counts(Structure):
    _fields_ = [("size", c_size_t)] + [(name, c_uint64) for name in COUNTS]


def _library():
    library = ctypes.CDLL(os.environ.get("LASTLIGHT_LIBRARY", "liblastlight.so"))
    library.lastlight_result_text.restype = c_char_p
    library.lastlight_result_text.argtypes = [c_int32]
    pointer, number = c_void_p, c_uint32
    for name, arguments in {
        "open": [POINTER(Options), POINTER(pointer)],
        "submit": [pointer, number, POINTER(Pair), c_size_t, c_char_p, c_size_t],
        "flush": [pointer, number],
        "settle": [pointer, number],
        "close": [pointer, number, POINTER(Counts)],
        "next_message": [pointer, c_char_p, POINTER(c_size_t), POINTER(number)],
        "trace_new": [POINTER(TraceOptions), POINTER(pointer)],
        "span_start": [pointer, number, Str, c_uint64, POINTER(number)],
        "span_set_resource": [pointer, number, Str],
        "span_tag": [pointer, number, Str, Str],
        "span_error": [pointer, number, Str, Str, Str],
        "span_finish": [pointer, number, c_uint64],
        "trace_submit": [pointer, pointer],
    }.items():
        function = getattr(library, "lastlight_" + name)
        function.restype, function.argtypes = c_int, arguments
    for name in ["free", "trace_free"]:
        function = getattr(library, "lastlight_" + name)
        function.restype, function.argtypes = None, [pointer]
    return library


_lastlight = _library()


class Failed(Exception):
    """What a call came to, in words."""


def _must(result):
    if result != OK:
        raise Failed(_lastlight.lastlight_result_text(result).decode())


class Agent:
    """The agent of this process tree. Made before the first fork, used in every process."""

    def __init__(self, mode=None, **settings):
        pairs = (Pair * len(settings))(*[Pair(Str(name), Str(value)) for name, value in settings.items()])
        options = Options(size=ctypes.sizeof(Options), mode=Str(mode), settings=pairs, settings_count=len(settings))
        self._handle = c_void_p()
        _must(_lastlight.lastlight_open(byref(options), byref(self._handle)))

    def submit(self, kind, payload):
        """Whether it was taken. Never waits."""
        result = _lastlight.lastlight_submit(self._handle, kind, None, 0, payload, len(payload))
        if result not in (OK, NO_ROOM):
            _must(result)
        return result == OK

    def flush(self, seconds):
        return _lastlight.lastlight_flush(self._handle, int(seconds * 1000)) == OK

    def settle(self, seconds):
        return _lastlight.lastlight_settle(self._handle, int(seconds * 1000)) == OK

    def messages(self):
        while True:
            line, length = ctypes.create_string_buffer(1024), c_size_t(1024)
            if _lastlight.lastlight_next_message(self._handle, line, byref(length), None) != OK:
                return
            yield line.raw[: length.value].decode()

    def close(self, seconds):
        """What became of what this process submitted."""
        counts = Counts(size=ctypes.sizeof(Counts))
        result = _lastlight.lastlight_close(self._handle, int(seconds * 1000), byref(counts))
        if result != TIMED_OUT:
            _must(result)
        return {name: getattr(counts, name) for name in COUNTS}


class Trace:
    """The spans of one piece of work after the other."""

    def __init__(self, agent, service):
        options = TraceOptions(size=ctypes.sizeof(TraceOptions), service=Str(service), language=Str("python"))
        self._agent, self._trace = agent, c_void_p()
        _must(_lastlight.lastlight_trace_new(byref(options), byref(self._trace)))

    @contextlib.contextmanager
    def span(self, name, parent=NO_SPAN, **tags):
        """A span around what stands in it, which it ends; an exception marks it."""
        span, begun = c_uint32(NO_SPAN), time.monotonic_ns()
        _lastlight.lastlight_span_start(self._trace, parent, Str(name), time.time_ns(), byref(span))
        for key, value in tags.items():
            _lastlight.lastlight_span_tag(self._trace, span, Str(key), Str(str(value)))
        try:
            yield span.value
        except BaseException as error:
            _lastlight.lastlight_span_error(self._trace, span, Str(type(error).__name__), Str(str(error)), Str())
            raise
        finally:
            _lastlight.lastlight_span_finish(self._trace, span, time.monotonic_ns() - begun)

    def submit(self):
        """Whether it was taken."""
        result = _lastlight.lastlight_trace_submit(self._agent._handle, self._trace)
        if result not in (OK, NO_ROOM):
            _must(result)
        return result == OK
