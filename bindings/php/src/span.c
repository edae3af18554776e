/* SPDX-License-Identifier: Apache-2.0
 *
 * The class Lastlight\Span: the number of a span. Its content is in the library; once its trace is submitted it does nothing.
 */

#include "php_lastlight.h"

#include "zend_exceptions.h"
#include "zend_interfaces.h"

#include "../lastlight_arginfo.h"

zend_class_entry *ll_span_ce;
static zend_object_handlers handlers;

typedef struct span_object {
	uint64_t generation;
	uint32_t span;
	zend_object std;
} span_object;

static span_object *of(zend_object *object)
{
	return (span_object *)((char *)object - XtOffsetOf(span_object, std));
}

/* The number, while it means something. */
static uint32_t live(zval *this)
{
	span_object *object = of(Z_OBJ_P(this));
	ll_check_process();
	if (!LL_G(trace) || object->generation != LL_G(generation) || object->span >= LL_G(spans_len)) {
		return LASTLIGHT_NO_SPAN;
	}
	return object->span;
}

static zend_object *create(zend_class_entry *class)
{
	span_object *object = zend_object_alloc(sizeof(span_object), class);
	object->generation = 0;
	object->span = LASTLIGHT_NO_SPAN;
	zend_object_std_init(&object->std, class);
	object_properties_init(&object->std, class);
	object->std.handlers = &handlers;
	return &object->std;
}

static zend_function *no_constructor(zend_object *object)
{
	zend_throw_error(NULL, "Lastlight\\Span is made by Lastlight\\start_span()");
	return NULL;
}

static int compare(zval *a, zval *b)
{
	ZEND_COMPARE_OBJECTS_FALLBACK(a, b);
	span_object *left = of(Z_OBJ_P(a)), *right = of(Z_OBJ_P(b));
	bool is_same = left->generation == right->generation && left->span == right->span;
	return is_same ? 0 : ZEND_UNCOMPARABLE;
}

void ll_span_object(zval *out, uint32_t span)
{
	object_init_ex(out, ll_span_ce);
	of(Z_OBJ_P(out))->generation = LL_G(generation);
	of(Z_OBJ_P(out))->span = span;
}

/* A tag as a string, or a number as a metric: what `setTag` takes. */
static void tag_value(uint32_t span, lastlight_str key, zval *value)
{
	ZVAL_DEREF(value);
	switch (Z_TYPE_P(value)) {
		case IS_STRING:
			ll_span_tag(span, key, LL_ZSTR(Z_STR_P(value)));
			break;
		case IS_TRUE:
			ll_span_tag(span, key, LL_LIT("true"));
			break;
		case IS_FALSE:
			ll_span_tag(span, key, LL_LIT("false"));
			break;
		case IS_LONG:
		case IS_DOUBLE:
			ll_note(lastlight_span_metric(LL_G(trace), span, key, zval_get_double(value)));
			break;
		default:
			break;
	}
}

void ll_span_tags_of(uint32_t span, HashTable *tags)
{
	zend_string *key;
	zval *value;
	ZEND_HASH_FOREACH_STR_KEY_VAL(tags, key, value) {
		if (key) {
			tag_value(span, LL_ZSTR(key), value);
		}
	} ZEND_HASH_FOREACH_END();
}

/* Ends what trace() began. `thrown` may be what unwinds for `exit` or for a fiber that is destroyed: no error, but an end. Calls
 * nothing of the program's, as an exception is under way. */
void ll_span_end(zval *object, zend_object *thrown)
{
	uint32_t span = live(object);
	if (span == LASTLIGHT_NO_SPAN) {
		return;
	}
	if (thrown && instanceof_function(thrown->ce, zend_ce_throwable)) {
		ll_span_throwable(span, thrown);
	}
	ll_span_close(span);
}

typedef lastlight_result (*setter)(lastlight_trace *, uint32_t, lastlight_str);

static void set_text(INTERNAL_FUNCTION_PARAMETERS, setter set)
{
	zend_string *value;
	ZEND_PARSE_PARAMETERS_START(1, 1)
		Z_PARAM_STR(value)
	ZEND_PARSE_PARAMETERS_END();
	uint32_t span = live(ZEND_THIS);
	if (span != LASTLIGHT_NO_SPAN) {
		ll_note(set(LL_G(trace), span, LL_ZSTR(value)));
	}
	RETURN_COPY(ZEND_THIS);
}

ZEND_METHOD(Lastlight_Span, setName)
{
	set_text(INTERNAL_FUNCTION_PARAM_PASSTHRU, lastlight_span_set_name);
}

ZEND_METHOD(Lastlight_Span, setResource)
{
	set_text(INTERNAL_FUNCTION_PARAM_PASSTHRU, lastlight_span_set_resource);
}

ZEND_METHOD(Lastlight_Span, setService)
{
	set_text(INTERNAL_FUNCTION_PARAM_PASSTHRU, lastlight_span_set_service);
}

ZEND_METHOD(Lastlight_Span, setType)
{
	set_text(INTERNAL_FUNCTION_PARAM_PASSTHRU, lastlight_span_set_type);
}

ZEND_METHOD(Lastlight_Span, setTag)
{
	zend_string *key;
	zval *value;
	ZEND_PARSE_PARAMETERS_START(2, 2)
		Z_PARAM_STR(key)
		Z_PARAM_ZVAL(value)
	ZEND_PARSE_PARAMETERS_END();
	if (Z_TYPE_P(value) == IS_ARRAY || Z_TYPE_P(value) == IS_OBJECT || Z_TYPE_P(value) == IS_RESOURCE
		|| Z_TYPE_P(value) == IS_NULL) {
		zend_argument_type_error(2, "must be of type string|int|float|bool, %s given", zend_zval_type_name(value));
		RETURN_THROWS();
	}
	uint32_t span = live(ZEND_THIS);
	if (span != LASTLIGHT_NO_SPAN) {
		tag_value(span, LL_ZSTR(key), value);
	}
	RETURN_COPY(ZEND_THIS);
}

ZEND_METHOD(Lastlight_Span, setMetric)
{
	zend_string *key;
	double number;
	ZEND_PARSE_PARAMETERS_START(2, 2)
		Z_PARAM_STR(key)
		Z_PARAM_DOUBLE(number)
	ZEND_PARSE_PARAMETERS_END();
	uint32_t span = live(ZEND_THIS);
	if (span != LASTLIGHT_NO_SPAN) {
		zval value;
		ZVAL_DOUBLE(&value, number);
		tag_value(span, LL_ZSTR(key), &value);
	}
	RETURN_COPY(ZEND_THIS);
}

ZEND_METHOD(Lastlight_Span, setError)
{
	zend_object *throwable;
	ZEND_PARSE_PARAMETERS_START(1, 1)
		Z_PARAM_OBJ_OF_CLASS(throwable, zend_ce_throwable)
	ZEND_PARSE_PARAMETERS_END();
	uint32_t span = live(ZEND_THIS);
	if (span != LASTLIGHT_NO_SPAN) {
		ll_span_throwable(span, throwable);
	}
	RETURN_COPY(ZEND_THIS);
}

ZEND_METHOD(Lastlight_Span, finish)
{
	ZEND_PARSE_PARAMETERS_NONE();
	uint32_t span = live(ZEND_THIS);
	if (span != LASTLIGHT_NO_SPAN) {
		ll_span_close(span);
	}
}

ZEND_METHOD(Lastlight_Span, isOpen)
{
	ZEND_PARSE_PARAMETERS_NONE();
	uint32_t span = live(ZEND_THIS);
	RETURN_BOOL(span != LASTLIGHT_NO_SPAN && LL_G(spans)[span].is_open);
}

/* 32 hexadecimal digits, as W3C has it. */
ZEND_METHOD(Lastlight_Span, traceId)
{
	ZEND_PARSE_PARAMETERS_NONE();
	uint32_t span = live(ZEND_THIS);
	uint64_t high = 0, low = 0;
	if (span == LASTLIGHT_NO_SPAN || lastlight_span_ids(LL_G(trace), span, &high, &low, NULL) != LASTLIGHT_OK) {
		RETURN_EMPTY_STRING();
	}
	RETURN_STR(zend_strpprintf(0, "%016" PRIx64 "%016" PRIx64, high, low));
}

/* 16 hexadecimal digits, as W3C has it. */
ZEND_METHOD(Lastlight_Span, spanId)
{
	ZEND_PARSE_PARAMETERS_NONE();
	uint32_t span = live(ZEND_THIS);
	uint64_t id = 0;
	if (span == LASTLIGHT_NO_SPAN || lastlight_span_ids(LL_G(trace), span, NULL, NULL, &id) != LASTLIGHT_OK) {
		RETURN_EMPTY_STRING();
	}
	RETURN_STR(zend_strpprintf(0, "%016" PRIx64, id));
}

static const zend_function_entry methods[] = {
	ZEND_ME(Lastlight_Span, setName, arginfo_class_Lastlight_Span_setName, ZEND_ACC_PUBLIC)
	ZEND_ME(Lastlight_Span, setResource, arginfo_class_Lastlight_Span_setResource, ZEND_ACC_PUBLIC)
	ZEND_ME(Lastlight_Span, setService, arginfo_class_Lastlight_Span_setService, ZEND_ACC_PUBLIC)
	ZEND_ME(Lastlight_Span, setType, arginfo_class_Lastlight_Span_setType, ZEND_ACC_PUBLIC)
	ZEND_ME(Lastlight_Span, setTag, arginfo_class_Lastlight_Span_setTag, ZEND_ACC_PUBLIC)
	ZEND_ME(Lastlight_Span, setMetric, arginfo_class_Lastlight_Span_setMetric, ZEND_ACC_PUBLIC)
	ZEND_ME(Lastlight_Span, setError, arginfo_class_Lastlight_Span_setError, ZEND_ACC_PUBLIC)
	ZEND_ME(Lastlight_Span, finish, arginfo_class_Lastlight_Span_finish, ZEND_ACC_PUBLIC)
	ZEND_ME(Lastlight_Span, isOpen, arginfo_class_Lastlight_Span_isOpen, ZEND_ACC_PUBLIC)
	ZEND_ME(Lastlight_Span, traceId, arginfo_class_Lastlight_Span_traceId, ZEND_ACC_PUBLIC)
	ZEND_ME(Lastlight_Span, spanId, arginfo_class_Lastlight_Span_spanId, ZEND_ACC_PUBLIC)
	ZEND_FE_END
};

void ll_span_register(void)
{
	zend_class_entry class;
	INIT_NS_CLASS_ENTRY(class, "Lastlight", "Span", methods);
	ll_span_ce = zend_register_internal_class(&class);
	ll_span_ce->ce_flags |= ZEND_ACC_FINAL | ZEND_ACC_NO_DYNAMIC_PROPERTIES | ZEND_ACC_NOT_SERIALIZABLE;
	ll_span_ce->create_object = create;
	memcpy(&handlers, &std_object_handlers, sizeof(handlers));
	handlers.offset = XtOffsetOf(span_object, std);
	handlers.clone_obj = NULL;
	handlers.get_constructor = no_constructor;
	handlers.compare = compare;
}
