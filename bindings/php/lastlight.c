/* SPDX-License-Identifier: Apache-2.0
 *
 * The module: what PHP calls and when.
 */

#include "php_lastlight.h"

#include <stdlib.h>
#include <unistd.h>

#include "SAPI.h"
#include "ext/standard/info.h"

ZEND_DECLARE_MODULE_GLOBALS(lastlight)

#if defined(ZTS) && defined(COMPILE_DL_LASTLIGHT)
ZEND_TSRMLS_CACHE_DEFINE()
#endif

/* The SAPI's end of a request: it sends what is left of the response. What may wait comes behind it. */
static int (*sapi_deactivate_before)(void);

static int deactivate(void)
{
	int result = sapi_deactivate_before ? sapi_deactivate_before() : SUCCESS;
	ll_request_submit();
	return result;
}

static PHP_GINIT_FUNCTION(lastlight)
{
#if defined(ZTS) && defined(COMPILE_DL_LASTLIGHT)
	ZEND_TSRMLS_CACHE_UPDATE();
#endif
	memset(lastlight_globals, 0, sizeof(*lastlight_globals));
	lastlight_globals->active = LASTLIGHT_NO_SPAN;
	lastlight_globals->pid = getpid();
}

static PHP_GSHUTDOWN_FUNCTION(lastlight)
{
	lastlight_trace_free(lastlight_globals->trace);
	free(lastlight_globals->spans);
	free(lastlight_globals->at_fork);
	free(lastlight_globals->inherited);
	/* The library stays loaded, and PHP may still tell of errors. */
	lastlight_globals->trace = NULL;
	lastlight_globals->spans = NULL;
	lastlight_globals->spans_len = 0;
	lastlight_globals->at_fork = lastlight_globals->inherited = NULL;
	smart_str_free_ex(&lastlight_globals->metrics, 1);
	smart_str_free_ex(&lastlight_globals->logs, 1);
}

static PHP_MINIT_FUNCTION(lastlight)
{
	ll_settings_startup(module_number);
	if (lastlight_abi() < LASTLIGHT_ABI) {
		zend_error(E_CORE_WARNING, "lastlight: the library is older than the extension");
		return FAILURE;
	}
	ll_span_register();
	ll_errors_startup();
	sapi_deactivate_before = sapi_module.deactivate;
	sapi_module.deactivate = deactivate;
	ll_host_startup();
	return SUCCESS;
}

static PHP_MSHUTDOWN_FUNCTION(lastlight)
{
	if (sapi_module.deactivate == deactivate) {
		sapi_module.deactivate = sapi_deactivate_before;
	}
	ll_request_submit();
	ll_host_shutdown();
	UNREGISTER_INI_ENTRIES();
	return SUCCESS;
}

static PHP_RINIT_FUNCTION(lastlight)
{
#if defined(ZTS) && defined(COMPILE_DL_LASTLIGHT)
	ZEND_TSRMLS_CACHE_UPDATE();
#endif
	ll_request_begin();
	return SUCCESS;
}

static PHP_RSHUTDOWN_FUNCTION(lastlight)
{
	ll_request_end();
	return SUCCESS;
}

static PHP_MINFO_FUNCTION(lastlight)
{
	ll_info();
	DISPLAY_INI_ENTRIES();
}

static const zend_module_dep dependencies[] = {
	ZEND_MOD_REQUIRED("json")
	ZEND_MOD_END
};

zend_module_entry lastlight_module_entry = {
	STANDARD_MODULE_HEADER_EX,
	NULL,
	dependencies,
	"lastlight",
	ll_functions,
	PHP_MINIT(lastlight),
	PHP_MSHUTDOWN(lastlight),
	PHP_RINIT(lastlight),
	PHP_RSHUTDOWN(lastlight),
	PHP_MINFO(lastlight),
	LL_VERSION,
	PHP_MODULE_GLOBALS(lastlight),
	PHP_GINIT(lastlight),
	PHP_GSHUTDOWN(lastlight),
	NULL,
	STANDARD_MODULE_PROPERTIES_EX,
};

#ifdef COMPILE_DL_LASTLIGHT
ZEND_GET_MODULE(lastlight)
#endif
