/* SPDX-License-Identifier: Apache-2.0
 *
 * The functions of the namespace Lastlight.
 */

#include "php_lastlight.h"

#include "../lastlight_arginfo.h"

/* A span with its tags, or one that does nothing where there is no room or nothing is wanted. */
static void start(zval *out, zend_string *name, HashTable *tags)
{
	uint32_t span = LASTLIGHT_NO_SPAN;
	if (LL_G(is_on) && ll_host() && ll_trace_ensure()) {
		span = ll_span_open(LL_ZSTR(name));
		if (span != LASTLIGHT_NO_SPAN && tags) {
			ll_span_tags_of(span, tags);
		}
	}
	ll_span_object(out, span);
}

PHP_FUNCTION(Lastlight_start_span)
{
	zend_string *name;
	HashTable *tags = NULL;
	ZEND_PARSE_PARAMETERS_START(1, 2)
		Z_PARAM_STR(name)
		Z_PARAM_OPTIONAL
		Z_PARAM_ARRAY_HT(tags)
	ZEND_PARSE_PARAMETERS_END();
	start(return_value, name, tags);
}

PHP_FUNCTION(Lastlight_trace)
{
	zend_string *name;
	zend_fcall_info call;
	zend_fcall_info_cache cache;
	HashTable *tags = NULL;
	ZEND_PARSE_PARAMETERS_START(2, 3)
		Z_PARAM_STR(name)
		Z_PARAM_FUNC(call, cache)
		Z_PARAM_OPTIONAL
		Z_PARAM_ARRAY_HT(tags)
	ZEND_PARSE_PARAMETERS_END();
	zval span;
	start(&span, name, tags);
	call.retval = return_value;
	call.params = &span;
	call.param_count = 1;
	zend_call_function(&call, &cache);
	if (Z_ISREF_P(return_value)) {
		zend_unwrap_reference(return_value);
	}
	/* Through the object: the callback may have ended the span, or its whole trace. */
	ll_span_end(&span, EG(exception));
	zval_ptr_dtor(&span);
}

PHP_FUNCTION(Lastlight_active_span)
{
	ZEND_PARSE_PARAMETERS_NONE();
	ll_check_process();
	uint32_t active = LL_G(trace) ? ll_span_active() : LASTLIGHT_NO_SPAN;
	if (active != LASTLIGHT_NO_SPAN) {
		ll_span_object(return_value, active);
	}
}

PHP_FUNCTION(Lastlight_root_span)
{
	ZEND_PARSE_PARAMETERS_NONE();
	ll_check_process();
	if (LL_G(trace) && LL_G(spans_len)) {
		ll_span_object(return_value, 0);
	}
}

PHP_FUNCTION(Lastlight_inject)
{
	ZEND_PARSE_PARAMETERS_NONE();
	ll_check_process();
	array_init(return_value);
	ll_inject(LL_G(trace) ? ll_span_active() : LASTLIGHT_NO_SPAN, return_value);
}

PHP_FUNCTION(Lastlight_extract)
{
	HashTable *headers;
	ZEND_PARSE_PARAMETERS_START(1, 1)
		Z_PARAM_ARRAY_HT(headers)
	ZEND_PARSE_PARAMETERS_END();
	RETURN_BOOL(LL_G(is_on) && ll_extract(headers));
}

static void decide(int32_t priority)
{
	ll_check_process();
	if (LL_G(trace)) {
		lastlight_trace_keep(LL_G(trace), priority);
	}
}

PHP_FUNCTION(Lastlight_keep)
{
	ZEND_PARSE_PARAMETERS_NONE();
	decide(2);
}

PHP_FUNCTION(Lastlight_drop)
{
	ZEND_PARSE_PARAMETERS_NONE();
	decide(-1);
}

/* `has_default`: counts are 1 where nothing is said. */
static void sample(INTERNAL_FUNCTION_PARAMETERS, char type, double sign, bool has_default)
{
	zend_string *name;
	double value = 1.0, rate = 1.0;
	HashTable *tags = NULL;
	ZEND_PARSE_PARAMETERS_START(has_default ? 1 : 2, type == 'g' ? 3 : 4)
		Z_PARAM_STR(name)
		Z_PARAM_OPTIONAL
		Z_PARAM_DOUBLE(value)
		Z_PARAM_ARRAY_HT(tags)
		Z_PARAM_DOUBLE(rate)
	ZEND_PARSE_PARAMETERS_END();
	ll_metric(type, LL_ZSTR(name), sign * value, rate, tags);
}

PHP_FUNCTION(Lastlight_increment)
{
	sample(INTERNAL_FUNCTION_PARAM_PASSTHRU, 'c', 1.0, true);
}

PHP_FUNCTION(Lastlight_decrement)
{
	sample(INTERNAL_FUNCTION_PARAM_PASSTHRU, 'c', -1.0, true);
}

PHP_FUNCTION(Lastlight_gauge)
{
	sample(INTERNAL_FUNCTION_PARAM_PASSTHRU, 'g', 1.0, false);
}

PHP_FUNCTION(Lastlight_histogram)
{
	sample(INTERNAL_FUNCTION_PARAM_PASSTHRU, 'h', 1.0, false);
}

PHP_FUNCTION(Lastlight_distribution)
{
	sample(INTERNAL_FUNCTION_PARAM_PASSTHRU, 'd', 1.0, false);
}

PHP_FUNCTION(Lastlight_timing)
{
	sample(INTERNAL_FUNCTION_PARAM_PASSTHRU, 'm', 1.0, false);
}

PHP_FUNCTION(Lastlight_set)
{
	zend_string *name;
	zval *value;
	HashTable *tags = NULL;
	ZEND_PARSE_PARAMETERS_START(2, 3)
		Z_PARAM_STR(name)
		Z_PARAM_ZVAL(value)
		Z_PARAM_OPTIONAL
		Z_PARAM_ARRAY_HT(tags)
	ZEND_PARSE_PARAMETERS_END();
	if (Z_TYPE_P(value) != IS_STRING && Z_TYPE_P(value) != IS_LONG && Z_TYPE_P(value) != IS_DOUBLE) {
		zend_argument_type_error(2, "must be of type string|int|float, %s given", zend_zval_type_name(value));
		RETURN_THROWS();
	}
	zend_string *room;
	zend_string *member = zval_get_tmp_string(value, &room);
	ll_metric_set(LL_ZSTR(name), LL_ZSTR(member), 1.0, tags);
	zend_tmp_string_release(room);
}

PHP_FUNCTION(Lastlight_event)
{
	zend_string *title, *text = ZSTR_EMPTY_ALLOC();
	HashTable *tags = NULL, *options = NULL;
	ZEND_PARSE_PARAMETERS_START(1, 4)
		Z_PARAM_STR(title)
		Z_PARAM_OPTIONAL
		Z_PARAM_STR(text)
		Z_PARAM_ARRAY_HT(tags)
		Z_PARAM_ARRAY_HT(options)
	ZEND_PARSE_PARAMETERS_END();
	ll_event(title, text, options, tags);
}

PHP_FUNCTION(Lastlight_service_check)
{
	zend_string *name, *message = ZSTR_EMPTY_ALLOC();
	zend_long status;
	HashTable *tags = NULL;
	ZEND_PARSE_PARAMETERS_START(2, 4)
		Z_PARAM_STR(name)
		Z_PARAM_LONG(status)
		Z_PARAM_OPTIONAL
		Z_PARAM_ARRAY_HT(tags)
		Z_PARAM_STR(message)
	ZEND_PARSE_PARAMETERS_END();
	if (status < 0 || status > 3) {
		zend_argument_value_error(2, "must be between 0 and 3");
		RETURN_THROWS();
	}
	ll_service_check(name, status, message, tags);
}

PHP_FUNCTION(Lastlight_log)
{
	zend_string *message, *status = NULL;
	HashTable *context = NULL;
	ZEND_PARSE_PARAMETERS_START(1, 3)
		Z_PARAM_STR(message)
		Z_PARAM_OPTIONAL
		Z_PARAM_STR(status)
		Z_PARAM_ARRAY_HT(context)
	ZEND_PARSE_PARAMETERS_END();
	zend_string *info = status ? zend_string_copy(status) : zend_string_init(ZEND_STRL("info"), false);
	ll_log(message, info, context);
	zend_string_release(info);
}

PHP_FUNCTION(Lastlight_flush)
{
	zend_long within = 1000;
	ZEND_PARSE_PARAMETERS_START(0, 1)
		Z_PARAM_OPTIONAL
		Z_PARAM_LONG(within)
	ZEND_PARSE_PARAMETERS_END();
	if (within < 0) {
		zend_argument_value_error(1, "must be greater than or equal to 0");
		RETURN_THROWS();
	}
	ll_check_process();
	ll_metrics_submit();
	ll_logs_submit();
	lastlight *host = ll_host_open();
	RETURN_BOOL(!host || lastlight_flush(host, within > UINT32_MAX ? UINT32_MAX : (uint32_t)within) == LASTLIGHT_OK);
}

PHP_FUNCTION(Lastlight_status)
{
	ZEND_PARSE_PARAMETERS_NONE();
	ll_status(return_value);
}

#define LL_FE(name) ZEND_NS_RAW_NAMED_FE("Lastlight", name, ZEND_FN(Lastlight_##name), arginfo_Lastlight_##name)

const zend_function_entry ll_functions[] = {
	LL_FE(start_span)
	LL_FE(trace)
	LL_FE(active_span)
	LL_FE(root_span)
	LL_FE(inject)
	LL_FE(extract)
	LL_FE(keep)
	LL_FE(drop)
	LL_FE(increment)
	LL_FE(decrement)
	LL_FE(gauge)
	LL_FE(histogram)
	LL_FE(distribution)
	LL_FE(timing)
	LL_FE(set)
	LL_FE(event)
	LL_FE(service_check)
	LL_FE(log)
	LL_FE(flush)
	LL_FE(status)
	ZEND_FE_END
};
