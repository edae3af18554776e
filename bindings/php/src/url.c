/* SPDX-License-Identifier: Apache-2.0
 *
 * What is said of a URL: its path as a resource, with what looks like an id replaced, and those parameters of its query that
 * are allowed.
 */

#include "php_lastlight.h"

#include <ctype.h>

#include "ext/standard/url.h"

#define URI_MAX_BYTES 8192

static bool is_hex(char c)
{
	return isxdigit((unsigned char)c);
}

/* 8-4-4-4-12, versions 1 to 5. */
static bool is_uuid(const char *text, size_t length)
{
	if (length != 36) {
		return false;
	}
	for (size_t i = 0; i < length; i++) {
		bool is_dash = i == 8 || i == 13 || i == 18 || i == 23;
		if (is_dash ? text[i] != '-' : !is_hex(text[i])) {
			return false;
		}
	}
	return text[14] >= '1' && text[14] <= '5';
}

/* A number, a UUID, or 8 to 128 hexadecimal digits. */
static bool is_id(const char *text, size_t length)
{
	size_t digits = 0, hex = 0;
	for (size_t i = 0; i < length; i++) {
		digits += isdigit((unsigned char)text[i]) != 0;
		hex += is_hex(text[i]);
	}
	return length && (digits == length || (hex == length && length >= 8 && length <= 128) || is_uuid(text, length));
}

/* Matches a pattern at the begin of `text`; `*` is one character or more up to the one that follows it, within a segment. The
 * end of the match, or NULL. */
static const char *match(const char *pattern, const char *pattern_end, const char *text, const char *end)
{
	while (pattern < pattern_end) {
		if (*pattern == '*') {
			char until = ++pattern < pattern_end ? *pattern : '/';
			const char *from = text;
			while (text < end && *text != '/' && (text == from || *text != until)) {
				text++;
			}
			if (text == from) {
				return NULL;
			}
		} else {
			if (text == end || *text != *pattern) {
				return NULL;
			}
			text++;
			pattern++;
		}
	}
	return text;
}

/* Where one of the patterns matches behind a slash: its text, with `?` for each `*`. */
static const char *mapped(smart_str *out, const char *text, const char *end, const char *mapping)
{
	while (*mapping) {
		size_t length = strcspn(mapping, ",");
		const char *from = mapping, *to = mapping + length;
		mapping = *to ? to + 1 : to;
		while (from < to && (isspace((unsigned char)*from) || *from == '/')) {
			from++;
		}
		while (to > from && isspace((unsigned char)to[-1])) {
			to--;
		}
		const char *after = from < to ? match(from, to, text, end) : NULL;
		if (after) {
			for (; from < to; from++) {
				smart_str_appendc_ex(out, *from == '*' ? '?' : *from, 1);
			}
			return after;
		}
	}
	return NULL;
}

/* The path of a URI, always with a slash at its begin. */
void ll_url_resource(smart_str *out, const char *uri, const char *mapping)
{
	const char *end = uri + strnlen(uri, URI_MAX_BYTES);
	const char *scheme = strstr(uri, "://");
	if (*uri != '/' && scheme && scheme < end) {
		/* A proxy's form. The host is not part of the resource. */
		uri = scheme + 3 + strcspn(scheme + 3, "/?");
	}
	if (uri < end) {
		size_t path = strcspn(uri, "?#");
		end = path < (size_t)(end - uri) ? uri + path : end;
	} else {
		end = uri;
	}
	if (uri == end || *uri != '/') {
		smart_str_appendc_ex(out, '/', 1);
	}
	while (uri < end) {
		if (*uri == '/') {
			smart_str_appendc_ex(out, *uri++, 1);
			continue;
		}
		const char *after = mapped(out, uri, end, mapping);
		if (after) {
			uri = after;
			/* A pattern may end within a segment. */
			while (uri < end && *uri != '/') {
				smart_str_appendc_ex(out, *uri++, 1);
			}
			continue;
		}
		const char *segment_end = memchr(uri, '/', (size_t)(end - uri));
		segment_end = segment_end ? segment_end : end;
		if (is_id(uri, (size_t)(segment_end - uri))) {
			smart_str_appendc_ex(out, '?', 1);
		} else {
			smart_str_appendl_ex(out, uri, (size_t)(segment_end - uri), 1);
		}
		uri = segment_end;
	}
	smart_str_0(out);
}

static bool is_listed(const char *name, size_t length, const char *allowed)
{
	while (*allowed) {
		while (isspace((unsigned char)*allowed) || *allowed == ',') {
			allowed++;
		}
		size_t entry = strcspn(allowed, ",");
		size_t trimmed = entry;
		while (trimmed && isspace((unsigned char)allowed[trimmed - 1])) {
			trimmed--;
		}
		if (trimmed && trimmed == length && !memcmp(allowed, name, length)) {
			return true;
		}
		allowed += entry;
	}
	return false;
}

/* By its name, once what the browser escaped is read. */
static bool is_secret(const char *name, size_t length)
{
	static const char *const words[] = {"pass", "pwd", "secret", "token", "key", "auth", "credential", "sign", "session", "sid",
		"jwt", "bearer", "code", "nonce", "otp", "pin", "hash"};
	char decoded[256];
	if (length >= sizeof(decoded)) {
		return true;
	}
	memcpy(decoded, name, length);
	decoded[length] = '\0';
	length = php_url_decode(decoded, length);
	for (size_t i = 0; i < length; i++) {
		decoded[i] = (char)tolower((unsigned char)decoded[i]);
	}
	decoded[length] = '\0';
	for (size_t i = 0; i < sizeof(words) / sizeof(words[0]); i++) {
		if (strstr(decoded, words[i])) {
			return true;
		}
	}
	return false;
}

/* Appends "?..." with the allowed parameters; nothing where there is none. `*` allows all but those whose name speaks of a
 * secret. */
void ll_url_query(smart_str *out, const char *query, const char *allowed)
{
	size_t total = strnlen(query, URI_MAX_BYTES);
	const char *end = query + total;
	bool all = is_listed("*", 1, allowed);
	char before = '?';
	while (*allowed && query < end) {
		const char *stop = memchr(query, '&', (size_t)(end - query));
		stop = stop ? stop : end;
		const char *equals = memchr(query, '=', (size_t)(stop - query));
		size_t name = (size_t)((equals ? equals : stop) - query);
		bool is_named = name && is_listed(query, name, allowed);
		if (name && (all || is_named)) {
			smart_str_appendc_ex(out, before, 1);
			if (!is_named && is_secret(query, name)) {
				smart_str_appendl_ex(out, "<redacted>", 10, 1);
			} else {
				smart_str_appendl_ex(out, query, (size_t)(stop - query), 1);
			}
			before = '&';
		}
		query = stop < end ? stop + 1 : end;
	}
	smart_str_0(out);
}
