/* SPDX-License-Identifier: Apache-2.0
 *
 * Log lines of the program, as the JSON that the intake of logs takes, with the ids of the active span.
 */

#include "php_lastlight.h"

#include "zend_exceptions.h"

#include "ext/json/php_json.h"

void ll_logs_submit(void)
{
	smart_str *logs = &LL_G(logs);
	if (!logs->s || !ZSTR_LEN(logs->s)) {
		return;
	}
	smart_str_appendc_ex(logs, ']', 1);
	static const lastlight_pair headers[] = {
		{{"content-type", sizeof("content-type") - 1}, {"application/json", sizeof("application/json") - 1}},
	};
	lastlight *host = ll_host();
	if (!host
		|| lastlight_submit(host, LASTLIGHT_LOGS, headers, 1, (const uint8_t *)ZSTR_VAL(logs->s), ZSTR_LEN(logs->s))
			!= LASTLIGHT_OK) {
		LL_G(logs_dropped) += LL_G(logs_count);
	}
	LL_G(logs_count) = 0;
	smart_str_free_ex(logs, 1);
}

static void add_text(zval *entry, const char *key, lastlight_str value)
{
	if (value.length) {
		add_assoc_stringl(entry, key, value.data, value.length);
	}
}

static void add_tags(zval *entry)
{
	smart_str tags = {0};
	lastlight_str env = ll_setting_env(), version = ll_setting_version();
	if (env.length) {
		smart_str_appends(&tags, "env:");
		smart_str_appendl(&tags, env.data, env.length);
	}
	if (version.length) {
		smart_str_appends(&tags, tags.s ? ",version:" : "version:");
		smart_str_appendl(&tags, version.data, version.length);
	}
	if (tags.s) {
		add_assoc_str(entry, "ddtags", smart_str_extract(&tags));
	}
}

static void add_span(zval *entry)
{
	uint32_t active = LL_G(trace) ? ll_span_active() : LASTLIGHT_NO_SPAN;
	uint64_t high = 0, low = 0, id = 0;
	if (active == LASTLIGHT_NO_SPAN || lastlight_span_ids(LL_G(trace), active, &high, &low, &id) != LASTLIGHT_OK) {
		return;
	}
	char text[40];
	int length = snprintf(text, sizeof(text), "%016" PRIx64 "%016" PRIx64, high, low);
	add_assoc_stringl(entry, "dd.trace_id", text, (size_t)length);
	length = snprintf(text, sizeof(text), "%" PRIu64, id);
	add_assoc_stringl(entry, "dd.span_id", text, (size_t)length);
}

/* `context` is beside what is ours and never replaces it. */
void ll_log(zend_string *message, zend_string *status, HashTable *context)
{
	ll_check_process();
	if (!LL_G(is_on)) {
		return;
	}
	zval entry;
	array_init(&entry);
	add_assoc_str(&entry, "message", zend_string_copy(message));
	add_assoc_str(&entry, "status", zend_string_copy(status));
	add_assoc_long(&entry, "timestamp", (zend_long)(ll_now_unix_ns() / 1000000));
	add_assoc_string(&entry, "ddsource", "php");
	add_text(&entry, "service", ll_setting_service());
	add_tags(&entry);
	add_span(&entry);
	if (context) {
		zend_hash_merge(Z_ARRVAL(entry), context, zval_add_ref, false);
	}
	smart_str json = {0};
	/* Partial output is output: a value that JSON cannot say becomes null. */
	(void)php_json_encode_ex(&json, &entry,
		PHP_JSON_PARTIAL_OUTPUT_ON_ERROR | PHP_JSON_INVALID_UTF8_SUBSTITUTE | PHP_JSON_UNESCAPED_SLASHES, 32);
	zval_ptr_dtor(&entry);
	/* What a jsonSerialize() of the program's threw is of this entry alone: nothing throws here for what cannot be said. */
	bool is_thrown = EG(exception) != NULL;
	if (is_thrown && !zend_is_unwind_exit(EG(exception)) && !zend_is_graceful_exit(EG(exception))) {
		zend_clear_exception();
	}
	size_t length = smart_str_get_len(&json);
	if (!length || length > LL_LOG_MAX_BYTES || is_thrown) {
		LL_G(logs_dropped)++;
	} else {
		uint64_t now = ll_now_ns();
		size_t before = smart_str_get_len(&LL_G(logs));
		if (before && (before + length > LL_LOGS_BATCH_BYTES || now - LL_G(logs_since_ns) > LL_BUFFERED_MAX_NS)) {
			ll_logs_submit();
			before = 0;
		}
		if (!before) {
			LL_G(logs_since_ns) = now;
		}
		smart_str_appendc_ex(&LL_G(logs), before ? ',' : '[', 1);
		smart_str_appendl_ex(&LL_G(logs), ZSTR_VAL(json.s), length, 1);
		LL_G(logs_count)++;
	}
	smart_str_free(&json);
}
