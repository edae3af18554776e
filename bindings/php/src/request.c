/* SPDX-License-Identifier: Apache-2.0
 *
 * The request as a root span.
 *
 * What it says is complete at RSHUTDOWN: the script, its shutdown functions and destructors are done, the status is known. It
 * is submitted there, which does not wait: were it done behind the response, whoever stops the server as soon as it has the
 * response would lose it, as FPM ends its workers by a signal. What may wait, a first connection, is behind the SAPI's own
 * `deactivate` (lastlight.c), which ends the response; so is what session handlers still trace behind our RSHUTDOWN.
 */

#include "php_lastlight.h"

#include "SAPI.h"
#include "ext/standard/php_string.h"

/* A variable of the request, as $_SERVER has it, without making $_SERVER where the SAPI can be asked. */
static const char *server_variable(const char *name, size_t length)
{
	if (sapi_module.getenv) {
		return sapi_module.getenv(name, length);
	}
	zend_is_auto_global_str(ZEND_STRL("_SERVER"));
	zval *server = &PG(http_globals)[TRACK_VARS_SERVER];
	zval *value = Z_TYPE_P(server) == IS_ARRAY ? zend_hash_str_find(Z_ARRVAL_P(server), name, length) : NULL;
	return value && Z_TYPE_P(value) == IS_STRING ? Z_STRVAL_P(value) : NULL;
}

#define SERVER(name) server_variable(name, sizeof(name) - 1)

static void extract_context(void)
{
	static const struct {
		const char *variable;
		const char *header;
	} all[] = {
		{"HTTP_X_DATADOG_TRACE_ID", "x-datadog-trace-id"},
		{"HTTP_X_DATADOG_PARENT_ID", "x-datadog-parent-id"},
		{"HTTP_X_DATADOG_SAMPLING_PRIORITY", "x-datadog-sampling-priority"},
		{"HTTP_X_DATADOG_ORIGIN", "x-datadog-origin"},
		{"HTTP_X_DATADOG_TAGS", "x-datadog-tags"},
		{"HTTP_TRACEPARENT", "traceparent"},
		{"HTTP_TRACESTATE", "tracestate"},
	};
	lastlight_pair pairs[sizeof(all) / sizeof(all[0])];
	size_t count = 0;
	for (size_t i = 0; i < sizeof(all) / sizeof(all[0]); i++) {
		const char *value = server_variable(all[i].variable, strlen(all[i].variable));
		if (value && *value) {
			pairs[count].name = ll_bytes(all[i].header, strlen(all[i].header));
			pairs[count].value = ll_bytes(value, strlen(value));
			count++;
		}
	}
	if (count) {
		lastlight_trace_extract(LL_G(trace), pairs, count);
	}
}

static void tag_text(uint32_t span, lastlight_str key, const char *value)
{
	if (value && *value) {
		ll_span_tag(span, key, ll_bytes(value, strlen(value)));
	}
}

static void tag_url(uint32_t root, const char *uri)
{
	const char *host = SERVER("HTTP_HOST");
	host = host && *host ? host : SERVER("SERVER_NAME");
	if (!uri || !host || !*host) {
		return;
	}
	const char *https = SERVER("HTTPS");
	smart_str url = {0};
	if (*uri == '/') {
		bool is_https = https && *https && strcasecmp(https, "off") && strcmp(https, "0");
		smart_str_appends_ex(&url, is_https ? "https://" : "http://", 1);
		smart_str_appends_ex(&url, host, 1);
	} else {
		/* A proxy's form has scheme and host itself, and may have a password before them. */
		const char *scheme = strstr(uri, "://");
		const char *path = scheme ? scheme + 3 + strcspn(scheme + 3, "/?#") : uri;
		const char *at = scheme ? zend_memrchr(scheme, '@', (size_t)(path - scheme)) : NULL;
		if (at) {
			smart_str_appendl_ex(&url, uri, (size_t)(scheme + 3 - uri), 1);
			uri = at + 1;
		}
	}
	size_t path = strcspn(uri, "?#");
	smart_str_appendl_ex(&url, uri, path, 1);
	if (uri[path] == '?') {
		ll_url_query(&url, uri + path + 1, ll_setting_url_query_allowed());
	}
	ll_span_tag(root, LL_LIT("http.url"), LL_ZSTR(url.s));
	smart_str_free_ex(&url, 1);
}

static void describe_web(uint32_t root)
{
	const char *method = SG(request_info).request_method;
	const char *uri = SERVER("REQUEST_URI");
	if (!uri || !*uri) {
		uri = SG(request_info).request_uri;
	}
	lastlight_span_set_type(LL_G(trace), root, LL_LIT("web"));
	ll_span_tag(root, LL_LIT("span.kind"), LL_LIT("server"));
	tag_text(root, LL_LIT("component"), sapi_module.name);
	tag_text(root, LL_LIT("http.method"), method);
	tag_text(root, LL_LIT("http.useragent"), SERVER("HTTP_USER_AGENT"));
	tag_url(root, uri);
	smart_str resource = {0};
	if (method) {
		smart_str_appends_ex(&resource, method, 1);
		smart_str_appendc_ex(&resource, ' ', 1);
	}
	if (uri) {
		ll_url_resource(&resource, uri, ll_setting_resource_mapping());
	}
	if (resource.s) {
		lastlight_span_set_resource(LL_G(trace), root, LL_ZSTR(resource.s));
	}
	smart_str_free_ex(&resource, 1);
}

static void describe_cli(uint32_t root)
{
	lastlight_span_set_type(LL_G(trace), root, LL_LIT("cli"));
	/* None where the code came from the command line itself. */
	const char *script = SG(request_info).path_translated;
	if (script && *script) {
		zend_string *name = php_basename(script, strlen(script), NULL, 0);
		lastlight_span_set_resource(LL_G(trace), root, LL_ZSTR(name));
		zend_string_release(name);
	}
}

void ll_request_begin(void)
{
	ll_request_submit();
	ll_check_process();
	LL_G(is_on) = ll_setting_enabled();
	bool is_cli = ll_is_cli();
	if (!LL_G(is_on) || (is_cli && !ll_setting_trace_cli())) {
		return;
	}
	/* Opened now where it was not before the fork: what starts a server overlaps with what the script does. */
	lastlight *host = ll_host();
	if (!host || !ll_trace_ensure()) {
		return;
	}
	/* Says hello where this process is not connected yet; the answer is there when the script is done. */
	lastlight_pump(host);
	if (!is_cli) {
		extract_context();
	}
	uint32_t root = ll_span_open(is_cli ? LL_LIT("cli.command") : LL_LIT("web.request"));
	if (root == LASTLIGHT_NO_SPAN) {
		ll_trace_discard();
		return;
	}
	LL_G(is_request) = true;
	if (is_cli) {
		describe_cli(root);
	} else {
		describe_web(root);
	}
}

static void end_root(void)
{
	lastlight_trace *trace = LL_G(trace);
	if (!ll_is_cli()) {
		int status = SG(sapi_headers).http_response_code;
		char text[16];
		int length = snprintf(text, sizeof(text), "%d", status ? status : 200);
		lastlight_span_tag(trace, 0, LL_LIT("http.status_code"), ll_bytes(text, (size_t)length));
		if (status >= 500) {
			lastlight_span_error(trace, 0, LL_NONE, LL_NONE, LL_NONE);
		}
	}
	lastlight_span_metric(trace, 0, LL_LIT("php.memory.peak_usage_bytes"), (double)zend_memory_peak_usage(true));
	ll_span_close(0);
}

static void submit(void)
{
	ll_trace_submit();
	ll_metrics_submit();
	ll_logs_submit();
}

void ll_request_end(void)
{
	ll_check_process();
	if (LL_G(is_on)) {
		if (LL_G(is_request)) {
			end_root();
		}
		submit();
		LL_G(is_pending) = true;
	}
	/* Here, while there is a request to log for; what this request's own submission makes to say is said by the next one. */
	ll_host_take_messages();
}

/* Idempotent. Uses nothing of the request: its memory may be gone. */
void ll_request_submit(void)
{
	if (!LL_G(is_pending)) {
		return;
	}
	LL_G(is_pending) = false;
	ll_check_process();
	submit();
	free(LL_G(inherited));
	LL_G(inherited) = NULL;
	ll_host_connect();
}
