/* SPDX-License-Identifier: Apache-2.0
 *
 * What went wrong, as error.type, error.message and error.stack. Never with the arguments of a call: they are the users' data.
 */

#include "php_lastlight.h"

#include <stdlib.h>

#include "zend_exceptions.h"
#include "zend_observer.h"

/* A stack that PHP wrote, "#0 file(line): function(arguments)" in lines, without the arguments. */
static size_t without_arguments(char *out, const char *text, size_t length)
{
	const char *end = text + length;
	size_t used = 0;
	while (text < end) {
		const char *newline = memchr(text, '\n', (size_t)(end - text));
		const char *line_end = newline ? newline : end;
		const char *keep_end = line_end;
		if (*text == '#') {
			const char *call = zend_memnstr(text, "): ", 3, line_end);
			call = call ? call : zend_memnstr(text, "]: ", 3, line_end);
			const char *open = call ? memchr(call + 3, '(', (size_t)(line_end - call - 3)) : NULL;
			keep_end = open ? open : line_end;
		}
		size_t line = (size_t)(keep_end - text);
		memcpy(out + used, text, line);
		used += line;
		if (keep_end < line_end) {
			memcpy(out + used, "()", 2);
			used += 2;
		}
		if (newline) {
			out[used++] = '\n';
		}
		text = newline ? newline + 1 : end;
	}
	return used;
}

/* Reads "Uncaught Type: message in file:line\nStack trace:\n#0 ...\n  thrown", as the engine words it. Of a chain the last, which
 * is what ended the script. */
static void uncaught(uint32_t span, const char *text, size_t length)
{
	const char *end = text + length;
	const char *next;
	while ((next = zend_memnstr(text, "\n\nNext ", 7, end))) {
		text = next + 7;
	}
	const char *trace = zend_memnstr(text, "\nStack trace:\n", 14, end);
	const char *head_end = trace ? trace : end;
	const char *colon = zend_memnstr(text, ": ", 2, head_end);
	const char *in = zend_memrchr(text, ' ', (size_t)(head_end - text));
	const char *type_end = memchr(text, ' ', (size_t)(head_end - text));
	type_end = type_end ? type_end : head_end;
	lastlight_str type = ll_bytes(text, (size_t)((colon && colon < type_end ? colon : type_end) - text));
	/* " in file:line": the last one, as the message may have that word too. */
	while (in && in > text && zend_memnstr(in, " in ", 4, head_end) != in) {
		in = zend_memrchr(text, ' ', (size_t)(in - text));
	}
	lastlight_str message = LL_NONE;
	if (colon && colon + 1 == type_end) {
		const char *from = colon + 2;
		message = ll_bytes(from, (size_t)((in && in >= from ? in : head_end) - from));
	}
	char *stack = NULL;
	size_t stack_length = 0;
	if (trace) {
		const char *from = trace + 14;
		const char *thrown = zend_memnstr(from, "\n  thrown", 9, end);
		size_t size = (size_t)((thrown ? thrown : end) - from);
		size = size < LL_STACK_MAX_BYTES ? size : LL_STACK_MAX_BYTES;
		/* Twice: a line of one bracket gets another. */
		stack = malloc(2 * size + 2);
		if (stack) {
			stack_length = without_arguments(stack, from, size);
		}
	}
	ll_note(lastlight_span_error(LL_G(trace), span, type, message, stack ? ll_bytes(stack, stack_length) : LL_NONE));
	free(stack);
}

static const char *name_of(int type)
{
	switch (type) {
		case E_ERROR: return "E_ERROR";
		case E_PARSE: return "E_PARSE";
		case E_CORE_ERROR: return "E_CORE_ERROR";
		case E_COMPILE_ERROR: return "E_COMPILE_ERROR";
		case E_USER_ERROR: return "E_USER_ERROR";
		case E_RECOVERABLE_ERROR: return "E_RECOVERABLE_ERROR";
		default: return NULL;
	}
}

static void on_span(uint32_t span, int type, zend_string *file, uint32_t line, zend_string *message)
{
	if (ZSTR_LEN(message) > 9 && !memcmp(ZSTR_VAL(message), "Uncaught ", 9)) {
		uncaught(span, ZSTR_VAL(message) + 9, ZSTR_LEN(message) - 9);
		return;
	}
	const char *name = name_of(type);
	char stack[1024];
	int length = snprintf(stack, sizeof(stack), "#0 %s(%u)", file ? ZSTR_VAL(file) : "[no file]", line);
	length = length < (int)sizeof(stack) ? length : (int)sizeof(stack) - 1;
	ll_note(lastlight_span_error(LL_G(trace), span, ll_bytes(name, strlen(name)), LL_ZSTR(message),
		ll_bytes(stack, (size_t)length)));
}

/* Called for every error of PHP, silenced or not; there may be no memory left for anything of PHP's. */
static void on_error(int type, zend_string *file, uint32_t line, zend_string *message)
{
	int plain = type & E_ALL;
	if (!LL_G(trace) || !LL_G(spans_len) || !name_of(plain) || !message) {
		return;
	}
	/* Two of them a handler of the program may take, and go on. */
	if ((plain & (E_USER_ERROR | E_RECOVERABLE_ERROR)) && Z_TYPE(EG(user_error_handler)) != IS_UNDEF
		&& (EG(user_error_handler_error_reporting) & plain)) {
		return;
	}
	uint32_t active = ll_span_active();
	if (active != LASTLIGHT_NO_SPAN) {
		on_span(active, plain, file, line, message);
	}
	if (active != 0) {
		on_span(0, plain, file, line, message);
	}
}

void ll_errors_startup(void)
{
	zend_observer_error_register(on_error);
}

/* A property of Exception or Error as it stands there. Where the program unset it, it is not asked for by __get(): that would run
 * the program's code in the middle of ours. NULL where there is none. */
static zval *property(zend_object *throwable, const char *name, size_t length)
{
	zend_class_entry *base = instanceof_function(throwable->ce, zend_ce_exception) ? zend_ce_exception : zend_ce_error;
	zend_property_info *info = zend_hash_str_find_ptr(&base->properties_info, name, length);
	if (!info || (info->flags & ZEND_ACC_STATIC)) {
		return NULL;
	}
	zval *value = OBJ_PROP(throwable, info->offset);
	ZVAL_DEREF(value);
	return value;
}

static lastlight_str frame_text(HashTable *frame, const char *key, size_t length)
{
	zval *value = zend_hash_str_find(frame, key, length);
	return value && Z_TYPE_P(value) == IS_STRING ? LL_ZSTR(Z_STR_P(value)) : ll_bytes("", 0);
}

#define FRAME(key) frame_text(frame, key, sizeof(key) - 1)

static void append_frames(smart_str *stack, HashTable *frames)
{
	zval *value;
	unsigned number = 0;
	ZEND_HASH_FOREACH_VAL(frames, value) {
		if (Z_TYPE_P(value) != IS_ARRAY || smart_str_get_len(stack) > LL_STACK_MAX_BYTES) {
			continue;
		}
		HashTable *frame = Z_ARRVAL_P(value);
		zval *line = zend_hash_str_find(frame, ZEND_STRL("line"));
		lastlight_str file = FRAME("file"), class = FRAME("class"), kind = FRAME("type"), function = FRAME("function");
		smart_str_append_printf(stack, "#%u ", number++);
		if (file.length) {
			smart_str_append_printf(stack, "%.*s(" ZEND_LONG_FMT ")", (int)file.length, file.data,
				line && Z_TYPE_P(line) == IS_LONG ? Z_LVAL_P(line) : 0);
		} else {
			smart_str_appends(stack, "[internal function]");
		}
		smart_str_append_printf(stack, ": %.*s%.*s%.*s()\n", (int)class.length, class.data, (int)kind.length, kind.data,
			(int)function.length, function.data);
	} ZEND_HASH_FOREACH_END();
	smart_str_append_printf(stack, "#%u {main}", number);
	smart_str_0(stack);
}

void ll_span_throwable(uint32_t span, zend_object *throwable)
{
	zval *message = property(throwable, ZEND_STRL("message"));
	zval *trace = property(throwable, ZEND_STRL("trace"));
	smart_str stack = {0};
	if (trace && Z_TYPE_P(trace) == IS_ARRAY) {
		append_frames(&stack, Z_ARRVAL_P(trace));
	}
	ll_note(lastlight_span_error(LL_G(trace), span, LL_ZSTR(throwable->ce->name),
		message && Z_TYPE_P(message) == IS_STRING ? LL_ZSTR(Z_STR_P(message)) : LL_NONE, stack.s ? LL_ZSTR(stack.s) : LL_NONE));
	smart_str_free(&stack);
}
