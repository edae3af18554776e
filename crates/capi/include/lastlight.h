/* SPDX-License-Identifier: Apache-2.0
 *
 * lastlight: the agent of a process tree, without installing one.
 *
 * A language runtime opens one handle before it forks, submits from any process of the tree, and closes. Behind the
 * handle is the whole agent, in a subprocess where one may be started and on one thread of the process otherwise.
 *
 * The same for every function:
 * - Ownership: what is passed in is borrowed for the call. What a function makes is the caller's until the matching
 *   `_free`. Nothing returned is to be freed by `free`.
 * - Strings are bytes with a length, not ended by NUL, and need not be UTF-8 unless said. `data` NULL: absent.
 * - Structs whose first field is `size` are to be filled with zeros before, and `size` set to `sizeof` of the struct. A smaller
 *   one comes from a program built against an older header: what it lacks has its default. A larger one comes from a newer
 *   one: what the library does not know must be zeros, else LASTLIGHT_INVALID. Structs for output are filled up to `size`.
 * - Threads: a handle may be used from several threads at once; a trace from one at a time.
 * - Fork: handles and traces may be used on both sides of a fork. What a process submitted stays its own; a child begins
 *   empty. No function may be called from a signal handler, nor in a child of a process with other threads before that child
 *   could call `malloc`.
 * - Time: a function without `within_ms` does not wait for another process. One with it returns in that time, plus what the
 *   machine takes to run it.
 * - A good guest: no output, no signal handlers, no exit handlers, no changes of the environment, and no function ends the
 *   process or lets a panic out (LASTLIGHT_PANICKED; the handle can be closed after that).
 * - NULL for what must be there is LASTLIGHT_INVALID, and changes nothing.
 */

#ifndef LASTLIGHT_H
#define LASTLIGHT_H

#include <stddef.h>
#include <stdint.h>

/* Numbers of the functions and structs here. Grows when something is added; nothing is ever removed. */
#define LASTLIGHT_ABI 1

/* Of `lastlight_options.flags`: start nothing at open, only when a process forks, submits or asks with `lastlight_ensure`. */
#define LASTLIGHT_LAZY 1

/* Of `lastlight_trace_options.flags`: `sample_rate` counts. Without it every trace is kept. */
#define LASTLIGHT_TRACE_SAMPLE_RATE 1

/* Instead of a span: no parent here, that is a root, or the child of the extracted context. */
#define LASTLIGHT_NO_SPAN UINT32_MAX

/* What a call came to. Numbers are never reused. */
typedef enum lastlight_result {
  /* Done. */
  LASTLIGHT_OK = 0,
  /* Too much is under way. The payload stays the caller's and is counted as `no_room`; later there is room. */
  LASTLIGHT_NO_ROOM = 1,
  /* The payload or its headers are over their bounds; or a buffer is too small, and `*length` says how much is needed. */
  LASTLIGHT_TOO_BIG = 2,
  /* An argument is not what it must be. */
  LASTLIGHT_INVALID = 3,
  /* Not done within the time given. */
  LASTLIGHT_TIMED_OUT = 4,
  /* Nobody serves, or this is not built for this system. */
  LASTLIGHT_UNAVAILABLE = 5,
  /* The handle is closed. */
  LASTLIGHT_CLOSED = 6,
  /* A bug of the library, contained. */
  LASTLIGHT_PANICKED = 7,
  /* There is no memory for a copy of what was passed. */
  LASTLIGHT_NO_MEMORY = 8,
  /* The system refused a socket, a thread or the like; `lastlight_next_message` says more where there is a handle. */
  LASTLIGHT_SYSTEM = 9,
  /* There is nothing to be had. */
  LASTLIGHT_EMPTY = 10
} lastlight_result;

/* What a payload is. */
typedef enum lastlight_kind {
  /* Traces, msgpack, as for `PUT /v0.4/traces`. */
  LASTLIGHT_TRACES_V04 = 1,
  /* Traces, msgpack with a dictionary, as for `PUT /v0.5/traces`. */
  LASTLIGHT_TRACES_V05 = 2,
  /* Stats that the tracer made, as for `PUT /v0.6/stats`. */
  LASTLIGHT_STATS = 3,
  /* Lines of DogStatsD: metrics, events, service checks. */
  LASTLIGHT_DOGSTATSD = 4,
  /* Telemetry of the library itself, JSON. */
  LASTLIGHT_TELEMETRY = 5,
  /* Logs, JSON as for the intake of logs. */
  LASTLIGHT_LOGS = 6,
  /* Any other request to the agent; the header ":path" says its route. */
  LASTLIGHT_REQUEST = 7
} lastlight_kind;

/* Where the server of this process tree is. */
typedef enum lastlight_mode {
  /* Nothing was started yet. */
  LASTLIGHT_MODE_NOT_YET = 0,
  /* A subprocess. */
  LASTLIGHT_MODE_SUBPROCESS = 1,
  /* A thread of a process of the tree. */
  LASTLIGHT_MODE_THREAD = 2,
  /* It could not be started. */
  LASTLIGHT_MODE_NOTHING = 3
} lastlight_mode;

/* How grave a message is. */
typedef enum lastlight_level {
  LASTLIGHT_LEVEL_ERROR = 1,
  LASTLIGHT_LEVEL_WARN = 2,
  LASTLIGHT_LEVEL_INFO = 3,
  LASTLIGHT_LEVEL_DEBUG = 4,
  LASTLIGHT_LEVEL_TRACE = 5
} lastlight_level;

/* The agent of a process tree, as one of its processes sees it. */
typedef struct lastlight lastlight;

/* The spans of one request. */
typedef struct lastlight_trace lastlight_trace;

/* Bytes, borrowed for the call. */
typedef struct lastlight_str {
  const char *data;
  size_t length;
} lastlight_str;

/* A name and a value: a header, a setting. */
typedef struct lastlight_pair {
  lastlight_str name;
  lastlight_str value;
} lastlight_pair;

/* How to open. Zeros are the defaults. */
typedef struct lastlight_options {
  size_t size;
  /* LASTLIGHT_LAZY. */
  uint32_t flags;
  /* How long a server may take to be ready, milliseconds. 0: 1000. */
  uint32_t ready_within_ms;
  /* "auto", "subprocess" or "thread". Absent: DD_TRACE_SIDECAR_CONNECTION_MODE, else "auto". Another value is said once, as
   * a message, and means "auto". */
  lastlight_str mode;
  /* The program of the subprocess. Absent: LASTLIGHT_BINARY, else `lastlight` beside the library, else in PATH. */
  lastlight_str binary;
  /* Settings over those of the environment (`DD_API_KEY`, `DD_SITE`, ...), UTF-8. */
  const lastlight_pair *settings;
  size_t settings_count;
} lastlight_options;

/* What this process submitted and what became of it, since the handle was opened or the process forked. */
typedef struct lastlight_counts_t {
  size_t size;
  /* Taken from the caller: accepted + refused + lost + waiting. */
  uint64_t submitted;
  /* The sidecar answers for it. */
  uint64_t accepted;
  /* Refused for good by the sidecar. */
  uint64_t refused;
  /* Given up: at the close, or after it was sent too often to servers that went away over it. */
  uint64_t lost;
  /* Neither answered nor given up. */
  uint64_t waiting;
  /* Not taken, as there was no room: LASTLIGHT_NO_ROOM. */
  uint64_t no_room;
  /* Not taken for any other reason. */
  uint64_t not_taken;
  /* Answers of the server that it had no room. Such a submission goes on waiting. */
  uint64_t no_room_answers;
  /* Sent again after a connection ended without an answer. */
  uint64_t resent;
  /* Sent in parts, where memory files were refused. */
  uint64_t in_parts;
  /* Connections whose server proved itself and answered. */
  uint64_t connected;
  /* Connections that ended, or did not come about. */
  uint64_t disconnected;
  /* Whoever had the name was not the server. */
  uint64_t squatted;
  /* This process became the server, or started one. */
  uint64_t promoted;
} lastlight_counts_t;

/* What a trace starts from. Zeros are the defaults. */
typedef struct lastlight_trace_options {
  size_t size;
  /* LASTLIGHT_TRACE_SAMPLE_RATE. */
  uint32_t flags;
  /* More spans than this are counted, not kept. 0: 1000. */
  uint32_t spans_max;
  /* UTF-8, all of them. */
  lastlight_str service;
  lastlight_str env;
  lastlight_str version;
  lastlight_str hostname;
  lastlight_str language;
  /* The share of traces to keep, 0 to 1. */
  double sample_rate;
} lastlight_trace_options;

#ifdef __cplusplus
extern "C" {
#endif

/* Opens the agent of this process tree: binds its socket and, unless LASTLIGHT_LAZY, starts its server. Call it once, in the
 * process that will fork, before it does. `*out` is to be freed by `lastlight_free`. Waits at most `ready_within_ms`, in mode
 * "auto" twice that. LASTLIGHT_INVALID, LASTLIGHT_SYSTEM, LASTLIGHT_NO_MEMORY, LASTLIGHT_UNAVAILABLE. */
lastlight_result lastlight_open(const lastlight_options *options, lastlight **out);

/* Starts a server if nobody serves, waiting as `lastlight_open` does. LASTLIGHT_UNAVAILABLE when none could be started. */
lastlight_result lastlight_ensure(lastlight *handle);

/* Submits a payload. Copied or sent before it returns; never waits. At most 64 MiB. LASTLIGHT_OK: the library sees to it that
 * it reaches the sidecar, over as many servers as it takes, in the calls made here (`lastlight_pump`). LASTLIGHT_NO_ROOM,
 * LASTLIGHT_TOO_BIG, LASTLIGHT_INVALID, LASTLIGHT_NO_MEMORY, LASTLIGHT_CLOSED: it was not taken, and is the caller's. */
lastlight_result lastlight_submit(lastlight *handle,
                                  uint32_t kind,
                                  const lastlight_pair *headers,
                                  size_t headers_count,
                                  const uint8_t *payload,
                                  size_t payload_length);

/* Reads answers and sends what waits; never waits itself. For hosts that submit rarely: a call between requests. */
lastlight_result lastlight_pump(lastlight *handle);

/* Returns when everything that this sidecar took so far, from any process, was delivered to the backend or counted as lost.
 * LASTLIGHT_TIMED_OUT: not all of it, it goes on. */
lastlight_result lastlight_flush(lastlight *handle, uint32_t within_ms);

/* Returns when the sidecar has answered for everything that this process submitted. LASTLIGHT_TIMED_OUT: not for all. */
lastlight_result lastlight_settle(lastlight *handle, uint32_t within_ms);

/* What became of what this process submitted. Also after the close. */
lastlight_result lastlight_counts(lastlight *handle, lastlight_counts_t *out);

/* What the server counts, lines of `name number`. `*length`: in, the buffer's size; out, the text's length. It does not end
 * with NUL. LASTLIGHT_TOO_BIG: `*length` says how much is needed now. LASTLIGHT_UNAVAILABLE: no answer within the time. */
lastlight_result lastlight_server_stats(lastlight *handle, uint32_t within_ms, char *buffer, size_t *length);

/* Where the server is, a `lastlight_mode`, as this process knows. */
lastlight_result lastlight_mode_in_use(lastlight *handle, uint32_t *out);

/* Takes the next of what would be lines of a log, UTF-8 without a newline; the oldest are dropped where nobody takes them.
 * `*length` as in `lastlight_server_stats`; at LASTLIGHT_TOO_BIG the message stays. `*level`: a `lastlight_level`; may be
 * NULL. LASTLIGHT_EMPTY: there is none. Works after the close too. */
lastlight_result lastlight_next_message(lastlight *handle, char *buffer, size_t *length, uint32_t *level);

/* Waits until what this process submitted is answered for, and where this process serves by a thread, until that has
 * delivered what it has and ended; what is left when the time is over is counted as lost. The handle stays valid: every other
 * call says LASTLIGHT_CLOSED then. `out` may be NULL. Idempotent. LASTLIGHT_TIMED_OUT: something was lost by the close. */
lastlight_result lastlight_close(lastlight *handle, uint32_t within_ms, lastlight_counts_t *out);

/* Frees a handle, which no other thread may be using. Without a close before, closes it without waiting. NULL is nothing. */
void lastlight_free(lastlight *handle);

/* The release, "0.1.0", ended by NUL; never to be freed. Fork- and thread-safe, as the next two. */
const char *lastlight_version(void);

/* LASTLIGHT_ABI of the library, at least that of the header a program was built with. */
uint32_t lastlight_abi(void);

/* A result in words, ended by NUL; never to be freed. For a number that is none too. */
const char *lastlight_result_text(int32_t result);

/* A trace without spans; to be freed by `lastlight_trace_free`. `options` may be NULL. */
lastlight_result lastlight_trace_new(const lastlight_trace_options *options, lastlight_trace **out);

/* Reads the context of the caller from the headers of a request, Datadog's and W3C's; baggage is not read. Before the first
 * span, else LASTLIGHT_INVALID. LASTLIGHT_EMPTY: there is none in them, and the trace is a new one. */
lastlight_result lastlight_trace_extract(lastlight_trace *trace, const lastlight_pair *headers, size_t headers_count);

/* The headers that a request made within `span` has to carry: lines of "name: value", each ended by a newline. `*length` as in
 * `lastlight_server_stats`. */
lastlight_result lastlight_trace_inject(const lastlight_trace *trace, uint32_t span, char *buffer, size_t *length);

/* Starts a span. `*out` is its number in this trace. LASTLIGHT_NO_ROOM: the trace has `spans_max` of them. */
lastlight_result lastlight_span_start(lastlight_trace *trace,
                                      uint32_t parent,
                                      lastlight_str name,
                                      uint64_t start_unix_ns,
                                      uint32_t *out);

/* What a span says. Values are cut at the agent's limits; invalid UTF-8 is replaced. */
lastlight_result lastlight_span_set_name(lastlight_trace *trace, uint32_t span, lastlight_str name);
lastlight_result lastlight_span_set_service(lastlight_trace *trace, uint32_t span, lastlight_str service);
lastlight_result lastlight_span_set_resource(lastlight_trace *trace, uint32_t span, lastlight_str resource);
lastlight_result lastlight_span_set_type(lastlight_trace *trace, uint32_t span, lastlight_str type);
lastlight_result lastlight_span_tag(lastlight_trace *trace, uint32_t span, lastlight_str key, lastlight_str value);
lastlight_result lastlight_span_metric(lastlight_trace *trace, uint32_t span, lastlight_str key, double value);

/* Marks a span as failed; each of the three may be absent. */
lastlight_result lastlight_span_error(lastlight_trace *trace,
                                      uint32_t span,
                                      lastlight_str type,
                                      lastlight_str message,
                                      lastlight_str stack);

/* Ends a span. A second end is ignored with LASTLIGHT_INVALID. */
lastlight_result lastlight_span_finish(lastlight_trace *trace, uint32_t span, uint64_t duration_ns);

/* The numbers of a span and its trace, for logs. Each of the outputs may be NULL. */
lastlight_result lastlight_span_ids(const lastlight_trace *trace,
                                    uint32_t span,
                                    uint64_t *trace_high,
                                    uint64_t *trace_low,
                                    uint64_t *span_id);

/* Decides whether the trace is kept: -1 drop, 0, 1, 2 keep, over what the caller or the sampler decided. */
lastlight_result lastlight_trace_keep(lastlight_trace *trace, int32_t priority);

/* Submits the spans as LASTLIGHT_TRACES_V04, with the results of `lastlight_submit`; never waits. Spans without an end get the
 * root's and a tag. The trace is empty after LASTLIGHT_OK, for the next request; after anything else it is as it was.
 * LASTLIGHT_EMPTY: it had no span. */
lastlight_result lastlight_trace_submit(lastlight *handle, lastlight_trace *trace);

/* Frees a trace and what was not submitted. NULL is nothing. */
void lastlight_trace_free(lastlight_trace *trace);

#ifdef __cplusplus
}
#endif

#endif /* LASTLIGHT_H */
