/* SPDX-License-Identifier: Apache-2.0
 *
 * The spans under way. The library keeps what they say; here is which one is active, and since when.
 *
 * In a web request there is one trace, its root the request's span, submitted at the end. Where there is no such root (a
 * worker on the command line), a span started while none is open is a root of its own, and its end submits the trace.
 */

#include "php_lastlight.h"

#include <pthread.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>
#include <unistd.h>

#include "SAPI.h"

static uint64_t read_clock(clockid_t clock)
{
	struct timespec now = {0};
	clock_gettime(clock, &now);
	return (uint64_t)now.tv_sec * 1000000000ull + (uint64_t)now.tv_nsec;
}

uint64_t ll_now_unix_ns(void)
{
	return read_clock(CLOCK_REALTIME);
}

uint64_t ll_now_ns(void)
{
	return read_clock(CLOCK_MONOTONIC);
}

/* For client-side sampling. Not PHP's generator: a program that seeded it gets the numbers it would get without us. */
uint64_t ll_random(void)
{
	if (!LL_G(random)) {
		LL_G(random) = (ll_now_ns() ^ ((uint64_t)getpid() << 32)) | 1;
	}
	LL_G(random) ^= LL_G(random) << 13;
	LL_G(random) ^= LL_G(random) >> 7;
	LL_G(random) ^= LL_G(random) << 17;
	return LL_G(random);
}

static void reset(void)
{
	LL_G(spans_len) = 0;
	LL_G(active) = LASTLIGHT_NO_SPAN;
	LL_G(is_request) = false;
	LL_G(generation)++;
	if (LL_G(spans_capacity) > 4096) {
		free(LL_G(spans));
		LL_G(spans) = NULL;
		LL_G(spans_capacity) = 0;
	}
}

void ll_trace_discard(void)
{
	lastlight_trace_free(LL_G(trace));
	LL_G(trace) = NULL;
	reset();
}

/* The context headers of a span, ended by NUL, to be freed by free(). */
static char *context_of(uint32_t span)
{
	char lines[LL_HEADER_MAX_BYTES];
	size_t length = sizeof(lines);
	if (!LL_G(trace) || lastlight_trace_inject(LL_G(trace), span, lines, &length) != LASTLIGHT_OK) {
		return NULL;
	}
	return strndup(lines, length);
}

/* Calls `each` for every "name: value" line. */
static void each_line(const char *lines, size_t length, void (*each)(lastlight_str, lastlight_str, void *), void *with)
{
	const char *end = lines + length;
	while (lines < end) {
		const char *newline = memchr(lines, '\n', (size_t)(end - lines));
		const char *line_end = newline ? newline : end;
		const char *colon = memchr(lines, ':', (size_t)(line_end - lines));
		if (colon && colon + 2 <= line_end) {
			each(ll_bytes(lines, (size_t)(colon - lines)), ll_bytes(colon + 2, (size_t)(line_end - colon - 2)), with);
		}
		lines = line_end + 1;
	}
}

struct pairs {
	lastlight_pair list[16];
	size_t count;
};

static void add_pair(lastlight_str name, lastlight_str value, void *with)
{
	struct pairs *pairs = with;
	if (pairs->count < sizeof(pairs->list) / sizeof(pairs->list[0])) {
		pairs->list[pairs->count++] = (lastlight_pair){name, value};
	}
}

/* PHP's: another thread of the process may fork too, and must not read what this one writes. */
static pthread_t thread;

/* In the parent before each fork, as a trace is empty in a child. */
static void before_fork(void)
{
	if (!pthread_equal(pthread_self(), thread)) {
		return;
	}
	free(LL_G(at_fork));
	uint32_t active = LL_G(trace) ? ll_span_active() : LASTLIGHT_NO_SPAN;
	LL_G(at_fork) = active == LASTLIGHT_NO_SPAN ? NULL : context_of(active);
}

/* A child of pcntl_fork() has a copy of the parent's spans and of what it buffered. They are the parent's to send. What the
 * child starts is the child of the span that was active at the fork. */
void ll_check_process(void)
{
	pid_t pid = getpid();
	if (pid == LL_G(pid)) {
		return;
	}
	LL_G(pid) = pid;
	LL_G(random) = 0;
	LL_G(is_pending) = false;
	smart_str_free_ex(&LL_G(metrics), 1);
	smart_str_free_ex(&LL_G(logs), 1);
	LL_G(logs_count) = 0;
	LL_G(spans_dropped) = LL_G(tags_dropped) = LL_G(traces_dropped) = LL_G(metrics_dropped) = LL_G(logs_dropped) = 0;
	if (LL_G(at_fork)) {
		free(LL_G(inherited));
		LL_G(inherited) = LL_G(at_fork);
		LL_G(at_fork) = NULL;
	}
	ll_trace_discard();
}

/* As Datadog's tracer has it: on the command line the script's name, where the code came from a file. */
static lastlight_str default_service(void)
{
	if (!ll_is_cli()) {
		return LL_LIT("web.request");
	}
	const char *script = SG(request_info).path_translated;
	if (!script || !*script) {
		return LL_LIT("cli.command");
	}
	const char *slash = strrchr(script, '/');
	script = slash && slash[1] ? slash + 1 : script;
	return ll_bytes(script, strlen(script));
}

static void watch_forks(void)
{
	thread = pthread_self();
	pthread_atfork(before_fork, NULL, NULL);
}

bool ll_trace_ensure(void)
{
	ll_check_process();
	if (LL_G(trace)) {
		return true;
	}
	static pthread_once_t once = PTHREAD_ONCE_INIT;
	pthread_once(&once, watch_forks);
	bool has_rate = false;
	lastlight_trace_options options = {.size = sizeof(options)};
	options.sample_rate = ll_setting_sample_rate(&has_rate);
	options.flags = has_rate ? LASTLIGHT_TRACE_SAMPLE_RATE : 0;
	options.spans_max = ll_setting_spans_max();
	options.service = ll_setting_service();
	options.env = ll_setting_env();
	options.version = ll_setting_version();
	options.hostname = LL_NONE;
	options.language = LL_LIT("php");
	if (!options.service.data) {
		options.service = default_service();
	}
	reset();
	if (lastlight_trace_new(&options, &LL_G(trace)) != LASTLIGHT_OK) {
		LL_G(trace) = NULL;
		return false;
	}
	if (LL_G(inherited)) {
		struct pairs pairs = {.count = 0};
		each_line(LL_G(inherited), strlen(LL_G(inherited)), add_pair, &pairs);
		lastlight_trace_extract(LL_G(trace), pairs.list, pairs.count);
	}
	return true;
}

/* Room in the table, before the library is asked. */
static bool has_room(uint32_t index)
{
	if (index < LL_G(spans_capacity)) {
		return true;
	}
	uint32_t capacity = LL_G(spans_capacity) ? LL_G(spans_capacity) * 2 : 64;
	ll_span *spans = realloc(LL_G(spans), capacity * sizeof(*spans));
	if (!spans) {
		return false;
	}
	LL_G(spans) = spans;
	LL_G(spans_capacity) = capacity;
	return true;
}

/* The new active span, or LASTLIGHT_NO_SPAN where there is no room for it: then it is counted, and nothing else changes. */
uint32_t ll_span_open(lastlight_str name)
{
	uint32_t span = LASTLIGHT_NO_SPAN;
	uint32_t parent = ll_span_active();
	if (!has_room(LL_G(spans_len))
		|| lastlight_span_start(LL_G(trace), parent, name, ll_now_unix_ns(), &span) != LASTLIGHT_OK || !has_room(span)) {
		LL_G(spans_dropped)++;
		return LASTLIGHT_NO_SPAN;
	}
	LL_G(spans)[span] = (ll_span){.start_ns = ll_now_ns(), .parent = parent, .is_open = true};
	if (span >= LL_G(spans_len)) {
		LL_G(spans_len) = span + 1;
	}
	LL_G(active) = span;
	return span;
}

/* The request's root stays the parent of what comes after its end. */
uint32_t ll_span_active(void)
{
	if (LL_G(active) == LASTLIGHT_NO_SPAN && LL_G(is_request) && LL_G(spans_len)) {
		return 0;
	}
	return LL_G(active);
}

void ll_span_close(uint32_t span)
{
	if (span >= LL_G(spans_len) || !LL_G(spans)[span].is_open) {
		return;
	}
	LL_G(spans)[span].is_open = false;
	lastlight_span_finish(LL_G(trace), span, ll_now_ns() - LL_G(spans)[span].start_ns);
	while (LL_G(active) != LASTLIGHT_NO_SPAN && !LL_G(spans)[LL_G(active)].is_open) {
		LL_G(active) = LL_G(spans)[LL_G(active)].parent;
	}
	if (!LL_G(is_request) && LL_G(spans)[span].parent == LASTLIGHT_NO_SPAN) {
		ll_trace_submit();
		ll_metrics_submit();
		ll_logs_submit();
		ll_host_connect();
		ll_host_take_messages();
	}
}

/* What a trace holds is bounded by the library, which says on the root span how much was left out. */
void ll_note(lastlight_result result)
{
	LL_G(tags_dropped) += result == LASTLIGHT_NO_ROOM;
}

void ll_span_tag(uint32_t span, lastlight_str key, lastlight_str value)
{
	ll_note(lastlight_span_tag(LL_G(trace), span, key, value));
}

void ll_trace_submit(void)
{
	if (!LL_G(trace)) {
		return;
	}
	lastlight *host = LL_G(spans_len) ? ll_host() : NULL;
	if (LL_G(spans_len) && (!host || lastlight_trace_submit(host, LL_G(trace)) != LASTLIGHT_OK)) {
		LL_G(traces_dropped)++;
	}
	ll_trace_discard();
}

static void add_header(lastlight_str name, lastlight_str value, void *with)
{
	add_assoc_stringl_ex(with, name.data, name.length, value.data, value.length);
}

zend_result ll_inject(uint32_t span, zval *headers)
{
	char lines[LL_HEADER_MAX_BYTES];
	size_t length = sizeof(lines);
	if (!LL_G(trace) || span == LASTLIGHT_NO_SPAN
		|| lastlight_trace_inject(LL_G(trace), span, lines, &length) != LASTLIGHT_OK) {
		return FAILURE;
	}
	each_line(lines, length, add_header, headers);
	return SUCCESS;
}

/* The caller's context for the next trace; not where a span is open already. A value may be a list, as PSR-7 has it. */
bool ll_extract(HashTable *headers)
{
	ll_check_process();
	if (LL_G(spans_len)) {
		return false;
	}
	ll_trace_discard();
	if (!ll_trace_ensure()) {
		return false;
	}
	struct pairs pairs = {.count = 0};
	zend_string *name;
	zval *value;
	ZEND_HASH_FOREACH_STR_KEY_VAL(headers, name, value) {
		ZVAL_DEREF(value);
		if (Z_TYPE_P(value) == IS_ARRAY) {
			value = zend_hash_index_find(Z_ARRVAL_P(value), 0);
			if (value) {
				ZVAL_DEREF(value);
			}
		}
		if (!name || !value || Z_TYPE_P(value) != IS_STRING || Z_STRLEN_P(value) > LL_HEADER_MAX_BYTES) {
			continue;
		}
		if (zend_string_equals_literal_ci(name, "traceparent") || zend_string_equals_literal_ci(name, "tracestate")
			|| (ZSTR_LEN(name) > 10 && !strncasecmp(ZSTR_VAL(name), "x-datadog-", 10))) {
			add_pair(LL_ZSTR(name), LL_ZSTR(Z_STR_P(value)), &pairs);
		}
	} ZEND_HASH_FOREACH_END();
	return lastlight_trace_extract(LL_G(trace), pairs.list, pairs.count) == LASTLIGHT_OK;
}
