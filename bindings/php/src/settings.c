/* SPDX-License-Identifier: Apache-2.0
 *
 * Settings: php.ini first, then the environment under Datadog's names, then the default.
 *
 * The environment is read at each use, not once: a worker of PHP-FPM has the `env[...]` of its pool, which the master has not.
 */

#include "php_lastlight.h"

#include <math.h>
#include <stdlib.h>

#include "php_ini.h"
#include "zend_ini.h"

/* A key is shown by phpinfo() as no more than set. */
static ZEND_INI_DISP(ll_display_secret)
{
	zend_string *value = type == ZEND_INI_DISPLAY_ORIG && ini_entry->modified ? ini_entry->orig_value : ini_entry->value;
	ZEND_PUTS(value && ZSTR_LEN(value) ? "(set)" : "no value");
}

#define LL_INI(name, where, field) \
	STD_PHP_INI_ENTRY("lastlight." name, NULL, where, OnUpdateString, field, zend_lastlight_globals, lastlight_globals)

PHP_INI_BEGIN()
	/* Read by each request. */
	LL_INI("enabled", PHP_INI_PERDIR, enabled)
	LL_INI("service", PHP_INI_PERDIR, service)
	LL_INI("env", PHP_INI_PERDIR, env)
	LL_INI("version", PHP_INI_PERDIR, version)
	LL_INI("sample_rate", PHP_INI_PERDIR, sample_rate)
	LL_INI("spans_max", PHP_INI_PERDIR, spans_max)
	LL_INI("http_url_query_param_allowed", PHP_INI_PERDIR, url_query_allowed)
	LL_INI("resource_uri_mapping_incoming", PHP_INI_PERDIR, resource_mapping)
	LL_INI("log_level", PHP_INI_PERDIR, log_level)
	/* Read when the agent is opened. */
	LL_INI("sidecar_connection_mode", PHP_INI_SYSTEM, connection_mode)
	LL_INI("binary", PHP_INI_SYSTEM, binary)
	STD_PHP_INI_ENTRY_EX("lastlight.api_key", NULL, PHP_INI_SYSTEM, OnUpdateString, api_key, zend_lastlight_globals,
		lastlight_globals, ll_display_secret)
	LL_INI("site", PHP_INI_SYSTEM, site)
	LL_INI("dd_url", PHP_INI_SYSTEM, dd_url)
	LL_INI("apm_dd_url", PHP_INI_SYSTEM, apm_dd_url)
	LL_INI("logs_dd_url", PHP_INI_SYSTEM, logs_dd_url)
	LL_INI("hostname", PHP_INI_SYSTEM, hostname)
	LL_INI("tags", PHP_INI_SYSTEM, tags)
	LL_INI("trace_cli", PHP_INI_SYSTEM, trace_cli)
	LL_INI("shutdown_timeout_ms", PHP_INI_SYSTEM, shutdown_timeout_ms)
PHP_INI_END()

/* What the environment of a server said when it started: FPM takes it from its workers (`clear_env`), and what the master was
 * told counts for them. What a pool sets counts more. */
#define REMEMBERED_MAX 24
static struct {
	const char *name;
	char *value; /* NULL: not set */
} remembered[REMEMBERED_MAX];
static const char *const names[] = {"DD_TRACE_ENABLED", "DD_TRACE_SHUTDOWN_TIMEOUT", "DD_TRACE_SPANS_LIMIT", "DD_TRACE_SAMPLE_RATE",
	"DD_TRACE_LOG_LEVEL", "DD_SERVICE", "DD_ENV", "DD_VERSION", "DD_HOSTNAME", "DD_TRACE_HTTP_URL_QUERY_PARAM_ALLOWED",
	"DD_TRACE_RESOURCE_URI_MAPPING_INCOMING"};
#define NAMES_COUNT (sizeof(names) / sizeof(names[0]))
_Static_assert(NAMES_COUNT <= REMEMBERED_MAX, "room for all of them");

static void remember(void)
{
	for (size_t i = 0; i < NAMES_COUNT; i++) {
		const char *value = getenv(names[i]);
		free(remembered[i].value);
		remembered[i].name = names[i];
		remembered[i].value = value && *value ? strdup(value) : NULL;
	}
}

static const char *variable_of(const char *name)
{
	const char *value = getenv(name);
	if (value) {
		return value;
	}
	for (size_t i = 0; i < NAMES_COUNT; i++) {
		if (remembered[i].name && !strcmp(remembered[i].name, name)) {
			return remembered[i].value;
		}
	}
	return NULL;
}

void ll_settings_startup(int module_number)
{
	zend_register_ini_entries(ini_entries, module_number);
	if (!ll_is_cli()) {
		remember();
	}
}

/* The first that says something, NULL when none does. An empty variable says nothing, as an empty INI value. */
static const char *either(const char *ini, const char *variable)
{
	if (ini && *ini) {
		return ini;
	}
	const char *value = variable ? variable_of(variable) : NULL;
	return value && *value ? value : NULL;
}

static lastlight_str text(const char *ini, const char *variable)
{
	const char *value = either(ini, variable);
	return value ? ll_bytes(value, strlen(value)) : LL_NONE;
}

/* A switch: what php.ini reads as `off` comes as an empty text, which is something else than no setting. */
static bool is_on(const char *ini, const char *variable, bool fallback)
{
	const char *value = ini && !*ini ? "off" : either(ini, variable);
	if (!value) {
		return fallback;
	}
	if (!strcasecmp(value, "1") || !strcasecmp(value, "true") || !strcasecmp(value, "on") || !strcasecmp(value, "yes")) {
		return true;
	}
	if (!strcasecmp(value, "0") || !strcasecmp(value, "false") || !strcasecmp(value, "off") || !strcasecmp(value, "no")
		|| !strcasecmp(value, "none")) {
		return false;
	}
	return fallback;
}

static uint32_t whole(const char *value, uint32_t fallback, uint32_t most)
{
	if (!value) {
		return fallback;
	}
	char *end = NULL;
	unsigned long number = strtoul(value, &end, 10);
	if (end == value || *end || *value == '-') {
		return fallback;
	}
	return number > most ? most : (uint32_t)number;
}

bool ll_setting_enabled(void)
{
	return is_on(LL_G(enabled), "DD_TRACE_ENABLED", true);
}

bool ll_setting_trace_cli(void)
{
	return is_on(LL_G(trace_cli), "DD_TRACE_CLI_ENABLED", false);
}

/* On the command line somebody waits for it. */
uint32_t ll_setting_shutdown_timeout_ms(void)
{
	return whole(either(LL_G(shutdown_timeout_ms), "DD_TRACE_SHUTDOWN_TIMEOUT"), ll_is_cli() ? 2000 : 5000, 600000);
}

uint32_t ll_setting_spans_max(void)
{
	uint32_t spans = whole(either(LL_G(spans_max), "DD_TRACE_SPANS_LIMIT"), LL_SPANS_MAX_DEFAULT, LL_SPANS_MAX_MOST);
	return spans ? spans : 1;
}

double ll_setting_sample_rate(bool *is_set)
{
	const char *value = either(LL_G(sample_rate), "DD_TRACE_SAMPLE_RATE");
	char *end = NULL;
	double rate = value ? zend_strtod(value, (const char **)&end) : 1.0;
	*is_set = value && end != value && !*end && rate >= 0.0 && rate <= 1.0;
	return *is_set ? rate : 1.0;
}

/* Notes about how the agent was started are for servers; on a terminal they would be in the way. */
lastlight_level ll_setting_log_level(void)
{
	const char *ini = LL_G(log_level);
	const char *value = ini && !*ini ? "off" : either(ini, "DD_TRACE_LOG_LEVEL");
	if (!value) {
		return ll_is_cli() ? LASTLIGHT_LEVEL_WARN : LASTLIGHT_LEVEL_INFO;
	}
	if (!strcasecmp(value, "off") || !strcasecmp(value, "none")) {
		return 0;
	}
	if (!strcasecmp(value, "error")) {
		return LASTLIGHT_LEVEL_ERROR;
	}
	if (!strcasecmp(value, "warn") || !strcasecmp(value, "warning")) {
		return LASTLIGHT_LEVEL_WARN;
	}
	if (!strcasecmp(value, "debug")) {
		return LASTLIGHT_LEVEL_DEBUG;
	}
	return !strcasecmp(value, "trace") ? LASTLIGHT_LEVEL_TRACE : LASTLIGHT_LEVEL_INFO;
}

lastlight_str ll_setting_service(void)
{
	return text(LL_G(service), "DD_SERVICE");
}

lastlight_str ll_setting_env(void)
{
	return text(LL_G(env), "DD_ENV");
}

lastlight_str ll_setting_version(void)
{
	return text(LL_G(version), "DD_VERSION");
}

lastlight_str ll_setting_hostname(void)
{
	return text(LL_G(hostname), "DD_HOSTNAME");
}

const char *ll_setting_url_query_allowed(void)
{
	const char *value = either(LL_G(url_query_allowed), "DD_TRACE_HTTP_URL_QUERY_PARAM_ALLOWED");
	return value ? value : "";
}

const char *ll_setting_resource_mapping(void)
{
	const char *value = either(LL_G(resource_mapping), "DD_TRACE_RESOURCE_URI_MAPPING_INCOMING");
	return value ? value : "";
}

/* What goes over the environment when the agent is opened. */
size_t ll_settings_for_library(lastlight_pair *out, size_t max)
{
	const struct {
		const char *name;
		const char *value;
	} all[] = {
		{"DD_API_KEY", LL_G(api_key)},
		{"DD_SITE", LL_G(site)},
		{"DD_DD_URL", LL_G(dd_url)},
		{"DD_APM_DD_URL", LL_G(apm_dd_url)},
		{"DD_LOGS_CONFIG_LOGS_DD_URL", LL_G(logs_dd_url)},
		{"DD_HOSTNAME", LL_G(hostname)},
		{"DD_TAGS", LL_G(tags)},
		{"DD_SERVICE", LL_G(service)},
		{"DD_ENV", LL_G(env)},
		{"DD_VERSION", LL_G(version)},
	};
	size_t count = 0;
	for (size_t i = 0; i < sizeof(all) / sizeof(all[0]) && count < max; i++) {
		if (all[i].value && *all[i].value) {
			out[count].name = ll_bytes(all[i].name, strlen(all[i].name));
			out[count].value = ll_bytes(all[i].value, strlen(all[i].value));
			count++;
		}
	}
	return count;
}
