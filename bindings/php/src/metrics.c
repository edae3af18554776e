/* SPDX-License-Identifier: Apache-2.0
 *
 * Samples, events and service checks as DogStatsD lines, gathered until a datagram's worth is there or the request ends.
 *
 * Whatever name, tag or text is given, what is written reads as the one message it was made for: what would end a field or a
 * line is written as `_`, and what cannot be said is counted and not written.
 */

#include "php_lastlight.h"

#include <math.h>

#define NAME_MAX_BYTES 200
#define TITLE_MAX_BYTES 500
#define TEXT_MAX_BYTES 4000
/* A whole datagram and a line that is already too long for another. More is not copied: this memory is none that PHP limits, and
 * stays with the process. */
#define LINES_MAX_BYTES (2 * LL_DATAGRAM_MAX_BYTES + 1)

/* PHP may have jumped out of a line, for want of memory or time: what there is of it is no line. */
static void cut_partial(void)
{
	zend_string *lines = LL_G(metrics).s;
	if (!lines || !ZSTR_LEN(lines) || ZSTR_VAL(lines)[ZSTR_LEN(lines) - 1] == '\n') {
		return;
	}
	const char *newline = zend_memrchr(ZSTR_VAL(lines), '\n', ZSTR_LEN(lines));
	ZSTR_LEN(lines) = newline ? (size_t)(newline + 1 - ZSTR_VAL(lines)) : 0;
	LL_G(metrics_dropped)++;
}

void ll_metrics_submit(void)
{
	smart_str *lines = &LL_G(metrics);
	cut_partial();
	if (!lines->s || !ZSTR_LEN(lines->s)) {
		return;
	}
	lastlight *host = ll_host();
	const uint8_t *payload = (const uint8_t *)ZSTR_VAL(lines->s);
	if (!host || lastlight_submit(host, LASTLIGHT_DOGSTATSD, NULL, 0, payload, ZSTR_LEN(lines->s)) != LASTLIGHT_OK) {
		for (size_t i = 0; i < ZSTR_LEN(lines->s); i++) {
			LL_G(metrics_dropped) += payload[i] == '\n';
		}
	}
	/* The buffer serves the next request too. */
	ZSTR_LEN(lines->s) = 0;
}

static void append(const char *data, size_t length)
{
	size_t room = LINES_MAX_BYTES - smart_str_get_len(&LL_G(metrics));
	smart_str_appendl_ex(&LL_G(metrics), data, length < room ? length : room, 1);
}

#define APPEND(text) append(text, sizeof(text) - 1)

static void append_number(double value)
{
	/* Never in the program's locale; digits as far as they are short. */
	char number[64];
	double size = fabs(value);
	if (size == 0.0 || (size >= 1e-6 && size < 1e15)) {
		php_gcvt(value, 17, '.', 'e', number);
		/* 17 digits say what 15 say in most cases: the shortest that reads as the same number. */
		for (int digits = 1; digits < 17; digits++) {
			char shorter[64];
			php_gcvt(value, digits, '.', 'e', shorter);
			if (zend_strtod(shorter, NULL) == value) {
				memcpy(number, shorter, sizeof(shorter));
				break;
			}
		}
	} else {
		php_gcvt(value, 17, '.', 'e', number);
	}
	append(number, strlen(number));
}

/* `also` is another byte that ends this field, or 0. */
static void append_field(lastlight_str text, char also)
{
	size_t begin = smart_str_get_len(&LL_G(metrics));
	append(text.data, text.length);
	for (char *byte = ZSTR_VAL(LL_G(metrics).s) + begin, *end = ZSTR_VAL(LL_G(metrics).s) + ZSTR_LEN(LL_G(metrics).s); byte < end; byte++) {
		if ((unsigned char)*byte < ' ' || *byte == 0x7f || *byte == '|' || (also && *byte == also)) {
			*byte = '_';
		}
	}
}

/* On one line, line ends as a backslash and an `n`; where it is cut, it is between two characters. */
static void append_text(smart_str *out, zend_string *text, size_t max)
{
	for (size_t i = 0; i < ZSTR_LEN(text); i++) {
		char byte = ZSTR_VAL(text)[i];
		if (byte == '\r' && i + 1 < ZSTR_LEN(text) && ZSTR_VAL(text)[i + 1] == '\n') {
			continue;
		}
		size_t next = byte == '\n' ? 2 : 1;
		while (i + next < ZSTR_LEN(text) && byte != '\n' && ((unsigned char)ZSTR_VAL(text)[i + next] & 0xc0) == 0x80) {
			next++;
		}
		if (smart_str_get_len(out) + next > max) {
			break;
		}
		if (byte == '\n') {
			smart_str_appends(out, "\\n");
		} else if ((unsigned char)byte < ' ') {
			smart_str_appendc(out, ' ');
		} else {
			smart_str_appendl(out, ZSTR_VAL(text) + i, next);
			i += next - 1;
		}
	}
	smart_str_0(out);
}

static void append_tag(lastlight_str key, lastlight_str value, char *before)
{
	if (!key.length && !value.length) {
		return;
	}
	append(before, *before == '|' ? 2 : 1);
	before[0] = ',';
	append_field(key, ',');
	if (value.length) {
		if (key.length) {
			APPEND(":");
		}
		append_field(value, ',');
	}
}

static bool has_tag(HashTable *tags, lastlight_str key)
{
	zend_string *name;
	zval *value;
	if (!tags) {
		return false;
	}
	ZEND_HASH_FOREACH_STR_KEY_VAL(tags, name, value) {
		ZVAL_DEREF(value);
		lastlight_str text = name ? LL_ZSTR(name) : Z_TYPE_P(value) == IS_STRING ? LL_ZSTR(Z_STR_P(value)) : LL_NONE;
		if (text.length >= key.length && !memcmp(text.data, key.data, key.length)
			&& (text.length == key.length || (!name && text.data[key.length] == ':'))) {
			return true;
		}
	} ZEND_HASH_FOREACH_END();
	return false;
}

/* `['key' => 'value']` and `['key:value']`, and the three that say what this program is where they are not among them. */
static void append_tags(HashTable *tags)
{
	char before[] = "|#";
	zend_string *key;
	zval *value;
	if (tags) {
		ZEND_HASH_FOREACH_STR_KEY_VAL(tags, key, value) {
			ZVAL_DEREF(value);
			if (Z_TYPE_P(value) > IS_STRING) {
				continue;
			}
			zend_string *room;
			zend_string *text = zval_get_tmp_string(value, &room);
			append_tag(key ? LL_ZSTR(key) : ll_bytes("", 0), LL_ZSTR(text), before);
			zend_tmp_string_release(room);
		} ZEND_HASH_FOREACH_END();
	}
	const struct {
		lastlight_str key, value;
	} own[] = {
		{LL_LIT("service"), ll_setting_service()},
		{LL_LIT("env"), ll_setting_env()},
		{LL_LIT("version"), ll_setting_version()},
	};
	for (size_t i = 0; i < sizeof(own) / sizeof(own[0]); i++) {
		if (own[i].value.length && !has_tag(tags, own[i].key)) {
			append_tag(own[i].key, own[i].value, before);
		}
	}
}

/* The begin of a line, or false when there is no room for anything or nobody wants it. */
static bool begin_line(size_t *begin)
{
	ll_check_process();
	if (!LL_G(is_on)) {
		return false;
	}
	cut_partial();
	*begin = smart_str_get_len(&LL_G(metrics));
	return true;
}

/* Keeps the line, sending what was before it where both are more than a datagram. */
static void end_line(size_t begin)
{
	APPEND("\n");
	smart_str *lines = &LL_G(metrics);
	size_t total = ZSTR_LEN(lines->s), line = total - begin;
	if (line > LL_DATAGRAM_MAX_BYTES) {
		ZSTR_LEN(lines->s) = begin;
		LL_G(metrics_dropped)++;
		return;
	}
	uint64_t now = ll_now_ns();
	if (total > LL_DATAGRAM_MAX_BYTES) {
		char kept[LL_DATAGRAM_MAX_BYTES];
		memcpy(kept, ZSTR_VAL(lines->s) + begin, line);
		ZSTR_LEN(lines->s) = begin;
		ll_metrics_submit();
		append(kept, line);
		begin = 0;
	}
	if (!begin) {
		LL_G(metrics_since_ns) = now;
	} else if (now - LL_G(metrics_since_ns) > LL_BUFFERED_MAX_NS) {
		ll_metrics_submit();
	}
}

static bool is_name(lastlight_str name)
{
	return name.length && name.length <= NAME_MAX_BYTES && !(name.length >= 3 && (!memcmp(name.data, "_e{", 3) || !memcmp(name.data, "_sc", 3)));
}

/* Whether this one is sent; one of the others stands for it then. */
static bool is_sampled(double rate)
{
	return rate >= 1.0 || (double)(ll_random() >> 11) * 0x1p-53 < rate;
}

static void end_sample(char type, double rate, HashTable *tags, size_t begin)
{
	APPEND("|");
	append(&type, 1);
	if (type == 'm') {
		APPEND("s");
	}
	if (rate < 1.0 && type != 'g') {
		APPEND("|@");
		append_number(rate);
	}
	append_tags(tags);
	end_line(begin);
}

/* `type` is the letter of the protocol, `m` for `ms`. A gauge and a set are not sampled. */
void ll_metric(char type, lastlight_str name, double value, double rate, HashTable *tags)
{
	size_t begin;
	if (!begin_line(&begin)) {
		return;
	}
	if (!is_name(name) || !zend_finite(value) || !(rate > 0.0 && rate <= 1.0)) {
		LL_G(metrics_dropped)++;
		return;
	}
	if (type != 'g' && !is_sampled(rate)) {
		return;
	}
	append_field(name, ':');
	APPEND(":");
	append_number(value);
	end_sample(type, rate, tags, begin);
}

void ll_metric_set(lastlight_str name, lastlight_str member, double rate, HashTable *tags)
{
	size_t begin;
	if (!begin_line(&begin)) {
		return;
	}
	if (!is_name(name) || !member.length) {
		LL_G(metrics_dropped)++;
		return;
	}
	append_field(name, ':');
	APPEND(":");
	append_field(member, 0);
	end_sample('s', rate, tags, begin);
}

static void append_option(HashTable *options, const char *key, const char *field)
{
	zval *value = options ? zend_hash_str_find(options, key, strlen(key)) : NULL;
	if (!value) {
		return;
	}
	ZVAL_DEREF(value);
	if (Z_TYPE_P(value) == IS_STRING && Z_STRLEN_P(value)) {
		append(field, strlen(field));
		append_field(LL_ZSTR(Z_STR_P(value)), 0);
	} else if (Z_TYPE_P(value) == IS_LONG) {
		append(field, strlen(field));
		append_number((double)Z_LVAL_P(value));
	}
}

void ll_event(zend_string *title, zend_string *text, HashTable *options, HashTable *tags)
{
	size_t begin;
	if (!begin_line(&begin)) {
		return;
	}
	smart_str head = {0}, body = {0};
	append_text(&head, title, TITLE_MAX_BYTES);
	append_text(&body, text, TEXT_MAX_BYTES);
	if (!head.s || !ZSTR_LEN(head.s)) {
		LL_G(metrics_dropped)++;
	} else {
		char lengths[64];
		size_t body_length = smart_str_get_len(&body);
		int length = snprintf(lengths, sizeof(lengths), "_e{%zu,%zu}:", ZSTR_LEN(head.s), body_length);
		append(lengths, (size_t)length);
		append(ZSTR_VAL(head.s), ZSTR_LEN(head.s));
		APPEND("|");
		if (body.s) {
			append(ZSTR_VAL(body.s), body_length);
		}
		append_option(options, "timestamp", "|d:");
		append_option(options, "hostname", "|h:");
		append_option(options, "aggregation_key", "|k:");
		append_option(options, "priority", "|p:");
		append_option(options, "source_type_name", "|s:");
		append_option(options, "alert_type", "|t:");
		append_tags(tags);
		end_line(begin);
	}
	smart_str_free(&head);
	smart_str_free(&body);
}

void ll_service_check(zend_string *name, zend_long status, zend_string *message, HashTable *tags)
{
	size_t begin;
	if (!begin_line(&begin)) {
		return;
	}
	if (!ZSTR_LEN(name) || ZSTR_LEN(name) > NAME_MAX_BYTES) {
		LL_G(metrics_dropped)++;
		return;
	}
	APPEND("_sc|");
	append_field(LL_ZSTR(name), 0);
	char number[] = {'|', (char)('0' + status)};
	append(number, 2);
	append_tags(tags);
	if (ZSTR_LEN(message)) {
		smart_str text = {0};
		append_text(&text, message, TEXT_MAX_BYTES);
		if (text.s) {
			/* Last, as readers expect it. */
			APPEND("|m:");
			append_field(LL_ZSTR(text.s), 0);
		}
		smart_str_free(&text);
	}
	end_line(begin);
}
