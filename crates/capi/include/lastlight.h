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

/* Of `lastlight_options.flags`: start nothing at open, only when a process forks, submits or asks with `lastlight_ensure`.
 */
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
  /* The payload or its headers are over their bounds; or a buffer is too small, and `*length` says how much is needed.
   */
  LASTLIGHT_TOO_BIG = 2,
  /* An argument is not what it must be. */
  LASTLIGHT_INVALID = 3,
  /* Not done within the time given. */
  LASTLIGHT_TIMED_OUT = 4,
  /* Nobody serves. */
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
  LASTLIGHT_EMPTY = 10,
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
  LASTLIGHT_REQUEST = 7,
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
  LASTLIGHT_MODE_NOTHING = 3,
} lastlight_mode;

/* How grave a message is. */
typedef enum lastlight_level {
  /* Something is lost, or cannot be. */
  LASTLIGHT_LEVEL_ERROR = 1,
  /* Something is not as it should be. */
  LASTLIGHT_LEVEL_WARN = 2,
  /* What was decided and begun. */
  LASTLIGHT_LEVEL_INFO = 3,
  /* For those who look for a fault. */
  LASTLIGHT_LEVEL_DEBUG = 4,
  /* For those who know the code. */
  LASTLIGHT_LEVEL_TRACE = 5,
} lastlight_level;

/* The agent of a process tree, as one of its processes sees it. */
typedef struct lastlight lastlight;

/* The spans of one request. */
typedef struct lastlight_trace lastlight_trace;

/* Bytes, borrowed for the call. `data` NULL: absent. */
typedef struct lastlight_str {
  const char *data;
  size_t length;
} lastlight_str;

/* A name and a value: a header, a setting. */
typedef struct lastlight_pair {
  struct lastlight_str name;
  struct lastlight_str value;
} lastlight_pair;

/* How to open. Zeros are the defaults. */
typedef struct lastlight_options {
  /* Of this struct, in bytes. */
  size_t size;
  /* `LASTLIGHT_LAZY`. */
  uint32_t flags;
  /* How long a server may take to be ready, milliseconds. 0: 1000. */
  uint32_t ready_within_ms;
  /* "auto", "subprocess" or "thread". Absent: DD_TRACE_SIDECAR_CONNECTION_MODE, else "auto". Another value is said once,
   * as a message, and means "auto".
   */
  struct lastlight_str mode;
  /* The program of the subprocess. Absent: LASTLIGHT_BINARY, else `lastlight` beside the library, else in PATH. */
  struct lastlight_str binary;
  /* Settings over those of the environment (`DD_API_KEY`, `DD_SITE`, ...), UTF-8. */
  const struct lastlight_pair *settings;
  /* How many. */
  size_t settings_count;
} lastlight_options;

/* What this process submitted and what became of it, since the handle was opened or the process forked. */
typedef struct lastlight_counts_t {
  /* Of this struct, in bytes: set before the call, kept by it. */
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
  /* Not taken, as there was no room: `LASTLIGHT_NO_ROOM`. */
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
  /* Servers that this process had started, as nobody served. */
  uint64_t promoted;
  /* Accepted by a server that died before they had reached the backend, and sent again. No longer among `accepted`. */
  uint64_t taken_back;
  /* Of `accepted`, those of which a copy is kept, as they have not reached the backend; at the close, those of which one was.
   */
  uint64_t retained;
  /* Of `accepted`, those of which no copy was kept though they had not, for want of room for copies. */
  uint64_t unretained;
} lastlight_counts_t;

/* What a trace starts from. Zeros are the defaults. */
typedef struct lastlight_trace_options {
  /* Of this struct, in bytes. */
  size_t size;
  /* `LASTLIGHT_TRACE_SAMPLE_RATE`. */
  uint32_t flags;
  /* More spans than this are counted, not kept. 0: 10000. */
  uint32_t spans_max;
  /* Of the root and of every span that says no other. Of all texts here: UTF-8, what is not is replaced. */
  struct lastlight_str service;
  /* The environment: "prod". */
  struct lastlight_str env;
  /* The version of the service. */
  struct lastlight_str version;
  /* The name of the host. */
  struct lastlight_str hostname;
  /* Of the program: "php". */
  struct lastlight_str language;
  /* The share of traces to keep, 0 to 1. */
  double sample_rate;
  /* The version of the language: "8.2.29". */
  struct lastlight_str language_version;
  /* What runs it: "fpm-fcgi". */
  struct lastlight_str interpreter;
} lastlight_trace_options;

#ifdef __cplusplus
extern "C" {
#endif // __cplusplus

/* Opens the agent of this process tree: binds its socket and, unless `LASTLIGHT_LAZY`, starts its server. Once, in the process
 * that will fork, before it does; children use the same handle. Settings and environment are read here and not again.
 *
 * Ownership: `*out` is to be freed by `lastlight_free`. Threads: any. Fork: to be called before.
 * Time: `ready_within_ms`, in mode "auto" twice that. That no server could be started is no error: it is a message, what is
 * submitted waits, and starting one is tried again.
 * Errors: `LASTLIGHT_INVALID`, `LASTLIGHT_SYSTEM` (no socket), `LASTLIGHT_NO_MEMORY`; `*out` is NULL then.
 */
enum lastlight_result lastlight_open(const struct lastlight_options *options,
                                     struct lastlight **out);

/* Starts a server if nobody serves.
 *
 * Threads: any. Fork: any process of the tree. Time: as `lastlight_open`.
 * Errors: `LASTLIGHT_UNAVAILABLE` when none could be started, now or shortly before (`lastlight_next_message` says why);
 * `LASTLIGHT_CLOSED`, `LASTLIGHT_INVALID`.
 */
enum lastlight_result lastlight_ensure(struct lastlight *handle);

/* Submits a payload of a `lastlight_kind`, at most 50 MiB, with the headers that a request with it would have (names without
 * case, 32 of them and 8 KiB at most; all may be left out).
 *
 * Ownership: sent or copied before it returns. Threads: any. Fork: any process of the tree; what a process submitted is its
 * own, so a parent's is neither lost nor doubled by its child. Time: never waits for the
 * sidecar; some system calls and at most one copy. Where nobody serves it may start a server, which costs some milliseconds.
 * `LASTLIGHT_OK`: taken. It reaches the sidecar, over as many servers as it takes, in the calls made here (so `lastlight_pump`
 * or `lastlight_settle` where nothing follows). Errors: it was not taken, and is the caller's: `LASTLIGHT_NO_ROOM`,
 * `LASTLIGHT_TOO_BIG` (payload or headers), `LASTLIGHT_INVALID`, `LASTLIGHT_NO_MEMORY`, `LASTLIGHT_CLOSED`.
 */
enum lastlight_result lastlight_submit(struct lastlight *handle,
                                       uint32_t kind,
                                       const struct lastlight_pair *headers,
                                       size_t headers_count,
                                       const uint8_t *payload,
                                       size_t payload_length);

/* Connects, reads answers and sends what waits, as far as that goes without waiting. For hosts that submit rarely: a call
 * between two pieces of work.
 *
 * Threads: any. Fork: any process of the tree. Time: never waits. Errors: `LASTLIGHT_CLOSED`, `LASTLIGHT_INVALID`.
 */
enum lastlight_result lastlight_pump(struct lastlight *handle);

/* Waits until everything that the sidecar took so far, from any process, was delivered to the backend or counted as lost.
 *
 * Threads: any; submissions of others go on meanwhile. Fork: any process of the tree. Time: at most `within_ms`.
 * Errors: `LASTLIGHT_TIMED_OUT` (not all of it; it goes on), `LASTLIGHT_UNAVAILABLE` (the server went away meanwhile),
 * `LASTLIGHT_CLOSED`, `LASTLIGHT_INVALID`.
 */
enum lastlight_result lastlight_flush(struct lastlight *handle, uint32_t within_ms);

/* Waits until the sidecar has answered for everything that this process submitted.
 *
 * Threads, fork, time, errors: as `lastlight_flush`.
 */
enum lastlight_result lastlight_settle(struct lastlight *handle, uint32_t within_ms);

/* What became of what this process submitted, since the handle was opened or the process was forked.
 *
 * Ownership: `out->size` is to be set. Threads: any. Fork: a child's begin at zero. Time: never waits. Also after the close.
 * Errors: `LASTLIGHT_INVALID`.
 */
enum lastlight_result lastlight_counts(struct lastlight *handle,
                                       struct lastlight_counts_t *out);

/* What the server counts: lines of "name number".
 *
 * Ownership: `buffer` has `*length` bytes; `*length` becomes the length of the text, which does not end with NUL. Threads: any.
 * Fork: any process of the tree. Time: at most `within_ms`.
 * Errors: `LASTLIGHT_TOO_BIG` (`*length` says how much this answer needed, and nothing is written), `LASTLIGHT_UNAVAILABLE`
 * (no answer), `LASTLIGHT_TIMED_OUT`, `LASTLIGHT_CLOSED`, `LASTLIGHT_INVALID`.
 */
enum lastlight_result lastlight_server_stats(struct lastlight *handle,
                                             uint32_t within_ms,
                                             char *buffer,
                                             size_t *length);

/* Where the server is, as this process knows: a `lastlight_mode`.
 *
 * Threads: any. Fork: any process of the tree. Time: never waits. Also after the close. Errors: `LASTLIGHT_INVALID`.
 */
enum lastlight_result lastlight_mode_in_use(struct lastlight *handle, uint32_t *out);

/* Takes the oldest of what would be the lines of a log: one line of UTF-8 each, at most 1024 bytes. The last 64 of a process
 * are kept, of all its handles.
 *
 * Ownership: as `lastlight_server_stats`; where the buffer is too small the message stays. `*level` becomes a `lastlight_level`;
 * `level` may be NULL. Threads: any; where two ask at once, one may be told that there is none. Fork: a child begins without
 * messages. Time: never waits. Also after the close.
 * Errors: `LASTLIGHT_EMPTY` (there is none), `LASTLIGHT_TOO_BIG`, `LASTLIGHT_INVALID`.
 */
enum lastlight_result lastlight_next_message(struct lastlight *handle,
                                             char *buffer,
                                             size_t *length,
                                             uint32_t *level);

/* Ends the work of this process: waits until what it submitted is answered for; where a thread of this process serves, until that
 * has delivered what it has and ended. What is left when the time is over is counted as lost. The handle stays valid, and is
 * still to be freed; whatever submits or waits says `LASTLIGHT_CLOSED` from then on.
 *
 * Ownership: `out` may be NULL, and is filled as by `lastlight_counts`. Threads: any. Fork: ends it for this process alone.
 * Time: at most `within_ms`. Idempotent: a second call says the same.
 * Errors: `LASTLIGHT_TIMED_OUT` (something was lost by the close), `LASTLIGHT_INVALID` (nothing was done).
 */
enum lastlight_result lastlight_close(struct lastlight *handle,
                                      uint32_t within_ms,
                                      struct lastlight_counts_t *out);

/* Frees a handle that no other thread is using. Without a close before, it is closed without waiting. NULL is nothing.
 *
 * Fork: frees this process's copy alone. Time: without a close before, and where a thread of this process serves, until that has
 * ended, which is a moment.
 */
void lastlight_free(struct lastlight *handle);

/* A trace without spans, for one request after the other.
 *
 * Ownership: `*out` is to be freed by `lastlight_trace_free`; `options` may be NULL. Threads: any. Fork: in a child every trace is
 * empty, as its parent sends what was in it; `lastlight_trace_inject` before the fork and `lastlight_trace_extract` after it go on
 * with the same one. Time: never waits. Errors: `LASTLIGHT_INVALID`, `LASTLIGHT_NO_MEMORY`; `*out` is NULL then.
 */
enum lastlight_result lastlight_trace_new(const struct lastlight_trace_options *options,
                                          struct lastlight_trace **out);

/* Reads the context of whoever called, from the headers of the request: Datadog's and W3C's, names without case, others are
 * passed over; baggage is not read. Before the first span.
 *
 * Threads: one at a time. Time: never waits.
 * Errors: `LASTLIGHT_EMPTY` (there is none in them: the trace begins here, which is no failure), `LASTLIGHT_INVALID` (spans have
 * begun), `LASTLIGHT_TOO_BIG`, `LASTLIGHT_NO_MEMORY`.
 */
enum lastlight_result lastlight_trace_extract(struct lastlight_trace *trace,
                                              const struct lastlight_pair *headers,
                                              size_t headers_count);

/* The headers that a request made within `span` has to carry, Datadog's and W3C's: lines of "name: value", each ended by a
 * newline; names are in lower case, values printable ASCII.
 *
 * Ownership: `buffer` has `*length` bytes; `*length` becomes the length of the text, which does not end with NUL. Threads: one at
 * a time. Time: never waits.
 * Errors: `LASTLIGHT_TOO_BIG` (`*length` says how much is needed, and nothing is written), `LASTLIGHT_INVALID`.
 */
enum lastlight_result lastlight_trace_inject(const struct lastlight_trace *trace,
                                             uint32_t span,
                                             char *buffer,
                                             size_t *length);

/* Starts a span at nanoseconds since 1970. The first is the root; one with `LASTLIGHT_NO_SPAN` for a parent after that is a child
 * of the root. `*out` becomes its number in this trace, until the trace is submitted.
 *
 * Ownership: the name is copied. Threads: one at a time. Time: never waits.
 * Errors: `LASTLIGHT_NO_ROOM` (the trace has all the spans it may; counted on the root), `LASTLIGHT_INVALID` (no such parent),
 * `LASTLIGHT_NO_MEMORY`; `*out` is `LASTLIGHT_NO_SPAN` then, on which every other function says `LASTLIGHT_INVALID`.
 */
enum lastlight_result lastlight_span_start(struct lastlight_trace *trace,
                                           uint32_t parent,
                                           struct lastlight_str name,
                                           uint64_t start_unix_ns,
                                           uint32_t *out);

/* Names a span: "web.request", "pdo.query".
 *
 * Of this and the functions that follow: Ownership: texts are copied, cut at the agent's limits; what is not UTF-8 is replaced.
 * Threads: one at a time. Time: never waits. A finished span may be changed too.
 * Errors: `LASTLIGHT_NO_ROOM` (the trace's bound of bytes or the span's of tags; counted on the root), `LASTLIGHT_INVALID` (no such
 * span, or what each says), `LASTLIGHT_NO_MEMORY`.
 */
enum lastlight_result lastlight_span_set_name(struct lastlight_trace *trace,
                                              uint32_t span,
                                              struct lastlight_str name);

/* Sets the service of a span, in place of the trace's. */
enum lastlight_result lastlight_span_set_service(struct lastlight_trace *trace,
                                                 uint32_t span,
                                                 struct lastlight_str service);

/* Sets the resource of a span, in place of its name: "GET /users/{id}". */
enum lastlight_result lastlight_span_set_resource(struct lastlight_trace *trace,
                                                  uint32_t span,
                                                  struct lastlight_str resource);

/* Sets the type of a span: "web", "sql", "http". */
enum lastlight_result lastlight_span_set_type(struct lastlight_trace *trace,
                                              uint32_t span,
                                              struct lastlight_str span_type);

/* Sets a tag, in place of a tag or metric of the same key. `LASTLIGHT_INVALID`: an empty key. */
enum lastlight_result lastlight_span_tag(struct lastlight_trace *trace,
                                         uint32_t span,
                                         struct lastlight_str key,
                                         struct lastlight_str value);

/* Sets a number, in place of a tag or metric of the same key. `LASTLIGHT_INVALID`: an empty key, or a number that is not finite.
 */
enum lastlight_result lastlight_span_metric(struct lastlight_trace *trace,
                                            uint32_t span,
                                            struct lastlight_str key,
                                            double value);

/* Marks a span as failed. Each of the three texts may be absent. */
enum lastlight_result lastlight_span_error(struct lastlight_trace *trace,
                                           uint32_t span,
                                           struct lastlight_str error_type,
                                           struct lastlight_str message,
                                           struct lastlight_str stack);

/* Ends a span that took `duration_ns`. `LASTLIGHT_INVALID`: it has ended, and stays as it was. */
enum lastlight_result lastlight_span_finish(struct lastlight_trace *trace, uint32_t span, uint64_t duration_ns);

/* What names a span outside, for logs: the halves of the trace's number, and the span's. Each of the outputs may be NULL.
 *
 * Threads: one at a time. Time: never waits. Errors: `LASTLIGHT_INVALID` (no such span).
 */
enum lastlight_result lastlight_span_ids(const struct lastlight_trace *trace,
                                         uint32_t span,
                                         uint64_t *trace_high,
                                         uint64_t *trace_low,
                                         uint64_t *span_id);

/* Says by hand whether the trace is kept: 2 keep, -1 drop, or the automatic 1 and 0. It overrules the context and the sample
 * rate from now on. `LASTLIGHT_INVALID`: another number.
 *
 * Threads: one at a time. Time: never waits.
 */
enum lastlight_result lastlight_trace_keep(struct lastlight_trace *trace,
                                           int32_t priority);

/* Submits the spans, as `lastlight_submit` does with `LASTLIGHT_TRACES_V04`. Spans that were not finished end when the root does
 * (now, when that was not finished either) and say so in a metric. After `LASTLIGHT_OK` the trace is empty, for the next request;
 * otherwise it is as it was.
 *
 * Threads: one at a time for the trace, any for the handle. Fork: nothing is there to submit in a child. Time: never waits.
 * Errors: those of `lastlight_submit`; `LASTLIGHT_EMPTY` (no span; the context is forgotten too).
 */
enum lastlight_result lastlight_trace_submit(struct lastlight *handle,
                                             struct lastlight_trace *trace);

/* Frees a trace, with what was not submitted. NULL is nothing. */
void lastlight_trace_free(struct lastlight_trace *trace);

/* The release, "0.1.0", ended by NUL; never to be freed. Fork- and thread-safe, as the next two. */
const char *lastlight_version(void);

/* `LASTLIGHT_ABI` of the library: at least that of the header a program was built with. */
uint32_t lastlight_abi(void);

/* A result in words, ended by NUL; never to be freed. For a number that is no result too. */
const char *lastlight_result_text(int32_t result);

/* The release, "0.1.0", ended by NUL; never to be freed. Fork- and thread-safe, as the next two. */
const char *lastlight_version(void);

/* `LASTLIGHT_ABI` of the library: at least that of the header a program was built with. */
uint32_t lastlight_abi(void);

/* A result in words, ended by NUL; never to be freed. For a number that is no result too. */
const char *lastlight_result_text(int32_t result);

/* Opens the agent of this process tree: binds its socket and, unless `LASTLIGHT_LAZY`, starts its server. Once, in the process
 * that will fork, before it does; children use the same handle. Settings and environment are read here and not again.
 *
 * Ownership: `*out` is to be freed by `lastlight_free`. Threads: any. Fork: to be called before.
 * Time: `ready_within_ms`, in mode "auto" twice that. That no server could be started is no error: it is a message, what is
 * submitted waits, and starting one is tried again.
 * Errors: `LASTLIGHT_INVALID`, `LASTLIGHT_SYSTEM` (no socket), `LASTLIGHT_NO_MEMORY`; `*out` is NULL then.
 */
enum lastlight_result lastlight_open(const struct lastlight_options *options,
                                     struct lastlight **out);

/* Starts a server if nobody serves.
 *
 * Threads: any. Fork: any process of the tree. Time: as `lastlight_open`.
 * Errors: `LASTLIGHT_UNAVAILABLE` when none could be started, now or shortly before (`lastlight_next_message` says why);
 * `LASTLIGHT_CLOSED`, `LASTLIGHT_INVALID`.
 */
enum lastlight_result lastlight_ensure(struct lastlight *handle);

/* Submits a payload of a `lastlight_kind`, at most 50 MiB, with the headers that a request with it would have (names without
 * case, 32 of them and 8 KiB at most; all may be left out).
 *
 * Ownership: sent or copied before it returns. Threads: any. Fork: any process of the tree; what a process submitted is its
 * own, so a parent's is neither lost nor doubled by its child. Time: never waits for the
 * sidecar; some system calls and at most one copy. Where nobody serves it may start a server, which costs some milliseconds.
 * `LASTLIGHT_OK`: taken. It reaches the sidecar, over as many servers as it takes, in the calls made here (so `lastlight_pump`
 * or `lastlight_settle` where nothing follows). Errors: it was not taken, and is the caller's: `LASTLIGHT_NO_ROOM`,
 * `LASTLIGHT_TOO_BIG` (payload or headers), `LASTLIGHT_INVALID`, `LASTLIGHT_NO_MEMORY`, `LASTLIGHT_CLOSED`.
 */
enum lastlight_result lastlight_submit(struct lastlight *handle,
                                       uint32_t kind,
                                       const struct lastlight_pair *headers,
                                       size_t headers_count,
                                       const uint8_t *payload,
                                       size_t payload_length);

/* Connects, reads answers and sends what waits, as far as that goes without waiting. For hosts that submit rarely: a call
 * between two pieces of work.
 *
 * Threads: any. Fork: any process of the tree. Time: never waits. Errors: `LASTLIGHT_CLOSED`, `LASTLIGHT_INVALID`.
 */
enum lastlight_result lastlight_pump(struct lastlight *handle);

/* Waits until everything that the sidecar took so far, from any process, was delivered to the backend or counted as lost.
 *
 * Threads: any; submissions of others go on meanwhile. Fork: any process of the tree. Time: at most `within_ms`.
 * Errors: `LASTLIGHT_TIMED_OUT` (not all of it; it goes on), `LASTLIGHT_UNAVAILABLE` (the server went away meanwhile),
 * `LASTLIGHT_CLOSED`, `LASTLIGHT_INVALID`.
 */
enum lastlight_result lastlight_flush(struct lastlight *handle, uint32_t within_ms);

/* Waits until the sidecar has answered for everything that this process submitted.
 *
 * Threads, fork, time, errors: as `lastlight_flush`.
 */
enum lastlight_result lastlight_settle(struct lastlight *handle, uint32_t within_ms);

/* What became of what this process submitted, since the handle was opened or the process was forked.
 *
 * Ownership: `out->size` is to be set. Threads: any. Fork: a child's begin at zero. Time: never waits. Also after the close.
 * Errors: `LASTLIGHT_INVALID`.
 */
enum lastlight_result lastlight_counts(struct lastlight *handle,
                                       struct lastlight_counts_t *out);

/* What the server counts: lines of "name number".
 *
 * Ownership: `buffer` has `*length` bytes; `*length` becomes the length of the text, which does not end with NUL. Threads: any.
 * Fork: any process of the tree. Time: at most `within_ms`.
 * Errors: `LASTLIGHT_TOO_BIG` (`*length` says how much this answer needed, and nothing is written), `LASTLIGHT_UNAVAILABLE`
 * (no answer), `LASTLIGHT_TIMED_OUT`, `LASTLIGHT_CLOSED`, `LASTLIGHT_INVALID`.
 */
enum lastlight_result lastlight_server_stats(struct lastlight *handle,
                                             uint32_t within_ms,
                                             char *buffer,
                                             size_t *length);

/* Where the server is, as this process knows: a `lastlight_mode`.
 *
 * Threads: any. Fork: any process of the tree. Time: never waits. Also after the close. Errors: `LASTLIGHT_INVALID`.
 */
enum lastlight_result lastlight_mode_in_use(struct lastlight *handle, uint32_t *out);

/* Takes the oldest of what would be the lines of a log: one line of UTF-8 each, at most 1024 bytes. The last 64 of a process
 * are kept, of all its handles.
 *
 * Ownership: as `lastlight_server_stats`; where the buffer is too small the message stays. `*level` becomes a `lastlight_level`;
 * `level` may be NULL. Threads: any; where two ask at once, one may be told that there is none. Fork: a child begins without
 * messages. Time: never waits. Also after the close.
 * Errors: `LASTLIGHT_EMPTY` (there is none), `LASTLIGHT_TOO_BIG`, `LASTLIGHT_INVALID`.
 */
enum lastlight_result lastlight_next_message(struct lastlight *handle,
                                             char *buffer,
                                             size_t *length,
                                             uint32_t *level);

/* Ends the work of this process: waits until what it submitted is answered for; where a thread of this process serves, until that
 * has delivered what it has and ended. What is left when the time is over is counted as lost. The handle stays valid, and is
 * still to be freed; whatever submits or waits says `LASTLIGHT_CLOSED` from then on.
 *
 * Ownership: `out` may be NULL, and is filled as by `lastlight_counts`. Threads: any. Fork: ends it for this process alone.
 * Time: at most `within_ms`. Idempotent: a second call says the same.
 * Errors: `LASTLIGHT_TIMED_OUT` (something was lost by the close), `LASTLIGHT_INVALID` (nothing was done).
 */
enum lastlight_result lastlight_close(struct lastlight *handle,
                                      uint32_t within_ms,
                                      struct lastlight_counts_t *out);

/* Frees a handle that no other thread is using. Without a close before, it is closed without waiting. NULL is nothing.
 *
 * Fork: frees this process's copy alone. Time: without a close before, and where a thread of this process serves, until that has
 * ended, which is a moment.
 */
void lastlight_free(struct lastlight *handle);

/* A trace without spans, for one request after the other.
 *
 * Ownership: `*out` is to be freed by `lastlight_trace_free`; `options` may be NULL. Threads: any. Fork: in a child every trace is
 * empty, as its parent sends what was in it; `lastlight_trace_inject` before the fork and `lastlight_trace_extract` after it go on
 * with the same one. Time: never waits. Errors: `LASTLIGHT_INVALID`, `LASTLIGHT_NO_MEMORY`; `*out` is NULL then.
 */
enum lastlight_result lastlight_trace_new(const struct lastlight_trace_options *options,
                                          struct lastlight_trace **out);

/* Reads the context of whoever called, from the headers of the request: Datadog's and W3C's, names without case, others are
 * passed over; baggage is not read. Before the first span.
 *
 * Threads: one at a time. Time: never waits.
 * Errors: `LASTLIGHT_EMPTY` (there is none in them: the trace begins here, which is no failure), `LASTLIGHT_INVALID` (spans have
 * begun), `LASTLIGHT_TOO_BIG`, `LASTLIGHT_NO_MEMORY`.
 */
enum lastlight_result lastlight_trace_extract(struct lastlight_trace *trace,
                                              const struct lastlight_pair *headers,
                                              size_t headers_count);

/* The headers that a request made within `span` has to carry, Datadog's and W3C's: lines of "name: value", each ended by a
 * newline; names are in lower case, values printable ASCII.
 *
 * Ownership: `buffer` has `*length` bytes; `*length` becomes the length of the text, which does not end with NUL. Threads: one at
 * a time. Time: never waits.
 * Errors: `LASTLIGHT_TOO_BIG` (`*length` says how much is needed, and nothing is written), `LASTLIGHT_INVALID`.
 */
enum lastlight_result lastlight_trace_inject(const struct lastlight_trace *trace,
                                             uint32_t span,
                                             char *buffer,
                                             size_t *length);

/* Starts a span at nanoseconds since 1970. The first is the root; one with `LASTLIGHT_NO_SPAN` for a parent after that is a child
 * of the root. `*out` becomes its number in this trace, until the trace is submitted.
 *
 * Ownership: the name is copied. Threads: one at a time. Time: never waits.
 * Errors: `LASTLIGHT_NO_ROOM` (the trace has all the spans it may; counted on the root), `LASTLIGHT_INVALID` (no such parent),
 * `LASTLIGHT_NO_MEMORY`; `*out` is `LASTLIGHT_NO_SPAN` then, on which every other function says `LASTLIGHT_INVALID`.
 */
enum lastlight_result lastlight_span_start(struct lastlight_trace *trace,
                                           uint32_t parent,
                                           struct lastlight_str name,
                                           uint64_t start_unix_ns,
                                           uint32_t *out);

/* Names a span: "web.request", "pdo.query".
 *
 * Of this and the functions that follow: Ownership: texts are copied, cut at the agent's limits; what is not UTF-8 is replaced.
 * Threads: one at a time. Time: never waits. A finished span may be changed too.
 * Errors: `LASTLIGHT_NO_ROOM` (the trace's bound of bytes or the span's of tags; counted on the root), `LASTLIGHT_INVALID` (no such
 * span, or what each says), `LASTLIGHT_NO_MEMORY`.
 */
enum lastlight_result lastlight_span_set_name(struct lastlight_trace *trace,
                                              uint32_t span,
                                              struct lastlight_str name);

/* Sets the service of a span, in place of the trace's. */
enum lastlight_result lastlight_span_set_service(struct lastlight_trace *trace,
                                                 uint32_t span,
                                                 struct lastlight_str service);

/* Sets the resource of a span, in place of its name: "GET /users/{id}". */
enum lastlight_result lastlight_span_set_resource(struct lastlight_trace *trace,
                                                  uint32_t span,
                                                  struct lastlight_str resource);

/* Sets the type of a span: "web", "sql", "http". */
enum lastlight_result lastlight_span_set_type(struct lastlight_trace *trace,
                                              uint32_t span,
                                              struct lastlight_str span_type);

/* Sets a tag, in place of a tag or metric of the same key. `LASTLIGHT_INVALID`: an empty key. */
enum lastlight_result lastlight_span_tag(struct lastlight_trace *trace,
                                         uint32_t span,
                                         struct lastlight_str key,
                                         struct lastlight_str value);

/* Sets a number, in place of a tag or metric of the same key. `LASTLIGHT_INVALID`: an empty key, or a number that is not finite.
 */
enum lastlight_result lastlight_span_metric(struct lastlight_trace *trace,
                                            uint32_t span,
                                            struct lastlight_str key,
                                            double value);

/* Marks a span as failed. Each of the three texts may be absent. */
enum lastlight_result lastlight_span_error(struct lastlight_trace *trace,
                                           uint32_t span,
                                           struct lastlight_str error_type,
                                           struct lastlight_str message,
                                           struct lastlight_str stack);

/* Ends a span that took `duration_ns`. `LASTLIGHT_INVALID`: it has ended, and stays as it was. */
enum lastlight_result lastlight_span_finish(struct lastlight_trace *trace, uint32_t span, uint64_t duration_ns);

/* What names a span outside, for logs: the halves of the trace's number, and the span's. Each of the outputs may be NULL.
 *
 * Threads: one at a time. Time: never waits. Errors: `LASTLIGHT_INVALID` (no such span).
 */
enum lastlight_result lastlight_span_ids(const struct lastlight_trace *trace,
                                         uint32_t span,
                                         uint64_t *trace_high,
                                         uint64_t *trace_low,
                                         uint64_t *span_id);

/* Says by hand whether the trace is kept: 2 keep, -1 drop, or the automatic 1 and 0. It overrules the context and the sample
 * rate from now on. `LASTLIGHT_INVALID`: another number.
 *
 * Threads: one at a time. Time: never waits.
 */
enum lastlight_result lastlight_trace_keep(struct lastlight_trace *trace,
                                           int32_t priority);

/* Submits the spans, as `lastlight_submit` does with `LASTLIGHT_TRACES_V04`. Spans that were not finished end when the root does
 * (now, when that was not finished either) and say so in a metric. After `LASTLIGHT_OK` the trace is empty, for the next request;
 * otherwise it is as it was.
 *
 * Threads: one at a time for the trace, any for the handle. Fork: nothing is there to submit in a child. Time: never waits.
 * Errors: those of `lastlight_submit`; `LASTLIGHT_EMPTY` (no span; the context is forgotten too).
 */
enum lastlight_result lastlight_trace_submit(struct lastlight *handle,
                                             struct lastlight_trace *trace);

/* Frees a trace, with what was not submitted. NULL is nothing. */
void lastlight_trace_free(struct lastlight_trace *trace);

#ifdef __cplusplus
}  // extern "C"
#endif  // __cplusplus

#endif  /* LASTLIGHT_H */
