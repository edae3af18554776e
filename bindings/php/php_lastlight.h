/* SPDX-License-Identifier: Apache-2.0
 *
 * The extension `lastlight`: what its files share. Everything that reaches the agent goes through lastlight.h.
 */

#ifndef PHP_LASTLIGHT_H
#define PHP_LASTLIGHT_H

#ifdef HAVE_CONFIG_H
#include "config.h"
#endif

#include "php.h"

#include <inttypes.h>
#include <stdbool.h>
#include <sys/types.h>

#include "zend_smart_str.h"

#include "lastlight.h"

extern zend_module_entry lastlight_module_entry;
#define phpext_lastlight_ptr &lastlight_module_entry

#define LL_VERSION "0.1.0"

/* Bounds of what one request may hold here; what its spans hold is bounded in the library. */
#define LL_SPANS_MAX_DEFAULT 1000
#define LL_SPANS_MAX_MOST 100000
#define LL_DATAGRAM_MAX_BYTES 8192
#define LL_LOGS_BATCH_BYTES (256u << 10)
#define LL_LOG_MAX_BYTES (64u << 10)
#define LL_STACK_MAX_BYTES (32u << 10)
#define LL_HEADER_MAX_BYTES 4096
/* What is buffered longer than this goes out with the next call. There is no timer. */
#define LL_BUFFERED_MAX_NS 1000000000ull
/* How long a worker waits at its end for the answers to what it submitted. */
#define LL_SETTLE_MS 500
/* How long, and how often without success, a process that is not connected waits for that behind a response: half a second in
 * all, what a new server may take. */
#define LL_CONNECT_MS 20
#define LL_CONNECT_TRIES 25
#define LL_CONNECT_FIRST 10

/* A span as PHP sees it: where to go back to, and how long it took. Its content is in the library. */
typedef struct ll_span {
	uint64_t start_ns; /* monotonic */
	uint32_t parent;   /* LASTLIGHT_NO_SPAN: none in this process */
	bool is_open;
} ll_span;

ZEND_BEGIN_MODULE_GLOBALS(lastlight)
	/* INI, as written; NULL and, but for switches, empty are "not set". Read through settings.c, which knows the environment's names. */
	char *enabled;
	char *connection_mode;
	char *binary;
	char *service;
	char *env;
	char *version;
	char *hostname;
	char *api_key;
	char *site;
	char *dd_url;
	char *apm_dd_url;
	char *logs_dd_url;
	char *tags;
	char *sample_rate;
	char *spans_max;
	char *url_query_allowed;
	char *resource_mapping;
	char *trace_cli;
	char *shutdown_timeout_ms;
	char *log_level;

	/* The process that the rest belongs to: a forked child has none of it (trace.c). */
	pid_t pid;
	bool is_on;      /* this request is traced or may be */
	bool is_request; /* the trace's root is the request's, and ends with it */
	bool is_pending; /* the request is over, its data not yet submitted */

	lastlight_trace *trace;
	uint64_t generation; /* of `trace`: objects of an earlier one do nothing */
	ll_span *spans;
	uint32_t spans_len;
	uint32_t spans_capacity;
	uint32_t active;
	char *at_fork;   /* context of the span that was active at the last fork: lines as lastlight_trace_inject writes */
	char *inherited; /* the same in the child, for each of its traces */

	smart_str metrics; /* persistent, like `logs` */
	uint64_t metrics_since_ns;
	smart_str logs;
	uint64_t logs_since_ns;
	uint64_t logs_count; /* in `logs` */
	uint64_t random;

	/* What was asked for and not done, by this process. */
	uint64_t spans_dropped;
	uint64_t tags_dropped;
	uint64_t traces_dropped;
	uint64_t metrics_dropped;
	uint64_t logs_dropped;
ZEND_END_MODULE_GLOBALS(lastlight)

ZEND_EXTERN_MODULE_GLOBALS(lastlight)
#define LL_G(v) ZEND_MODULE_GLOBALS_ACCESSOR(lastlight, v)

#if defined(ZTS) && defined(COMPILE_DL_LASTLIGHT)
ZEND_TSRMLS_CACHE_EXTERN()
#endif

static inline lastlight_str ll_bytes(const char *data, size_t length)
{
	return (lastlight_str){data, length};
}

#define LL_LIT(s) ll_bytes(s, sizeof(s) - 1)
#define LL_ZSTR(s) ll_bytes(ZSTR_VAL(s), ZSTR_LEN(s))
#define LL_NONE ll_bytes(NULL, 0)

/* settings.c: INI, then the environment, then the default. Strings are borrowed until the next change of either. */
void ll_settings_startup(int module_number);
bool ll_setting_enabled(void);
bool ll_setting_trace_cli(void);
uint32_t ll_setting_shutdown_timeout_ms(void);
uint32_t ll_setting_spans_max(void);
double ll_setting_sample_rate(bool *is_set);
lastlight_level ll_setting_log_level(void);
lastlight_str ll_setting_service(void);
lastlight_str ll_setting_env(void);
lastlight_str ll_setting_version(void);
lastlight_str ll_setting_hostname(void);
const char *ll_setting_url_query_allowed(void);
const char *ll_setting_resource_mapping(void);
size_t ll_settings_for_library(lastlight_pair *out, size_t max);

/* host.c: the one handle of this process tree. */
bool ll_is_cli(void);
void ll_host_startup(void);
void ll_host_shutdown(void);
lastlight *ll_host(void);      /* opens where that was left for the first use; NULL when there is none */
lastlight *ll_host_open(void); /* what is open already */
void ll_host_connect(void); /* after a submission */
void ll_host_take_messages(void);
size_t ll_host_messages(zval *list); /* appends the last ones to an array */

/* trace.c: the spans under way. */
uint64_t ll_now_unix_ns(void);
uint64_t ll_now_ns(void);
uint64_t ll_random(void);
void ll_check_process(void); /* after a fork: lets go of what is the parent's */
bool ll_trace_ensure(void);
uint32_t ll_span_open(lastlight_str name);
void ll_span_close(uint32_t span);
uint32_t ll_span_active(void);
void ll_note(lastlight_result result); /* counts what a span had no room for */
void ll_span_tag(uint32_t span, lastlight_str key, lastlight_str value);
void ll_trace_submit(void);
void ll_trace_discard(void);
zend_result ll_inject(uint32_t span, zval *headers);
bool ll_extract(HashTable *headers);

/* span.c */
extern zend_class_entry *ll_span_ce;
void ll_span_register(void);
void ll_span_object(zval *out, uint32_t span);
void ll_span_tags_of(uint32_t span, HashTable *tags);
void ll_span_end(zval *object, zend_object *thrown);

/* errors.c */
void ll_errors_startup(void);
void ll_span_throwable(uint32_t span, zend_object *throwable);

/* request.c */
void ll_request_begin(void);
void ll_request_end(void);
void ll_request_submit(void);

/* url.c: what may be said of a URL. Persistent strings. */
void ll_url_resource(smart_str *out, const char *uri, const char *mapping);
void ll_url_query(smart_str *out, const char *query, const char *allowed);

/* metrics.c, logs.c */
void ll_metrics_submit(void);
void ll_logs_submit(void);
void ll_metric(char type, lastlight_str name, double value, double rate, HashTable *tags);
void ll_metric_set(lastlight_str name, lastlight_str value, double rate, HashTable *tags);
void ll_event(zend_string *title, zend_string *text, HashTable *options, HashTable *tags);
void ll_service_check(zend_string *name, zend_long status, zend_string *message, HashTable *tags);
void ll_log(zend_string *message, zend_string *status, HashTable *context);

/* functions.c, info.c */
extern const zend_function_entry ll_functions[];
void ll_status(zval *out);
const char *ll_mode_text(uint32_t mode);
void ll_info(void);

#endif
