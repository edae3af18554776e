/* SPDX-License-Identifier: Apache-2.0
 *
 * phpinfo() and Lastlight\status().
 */

#include "php_lastlight.h"

#include "ext/standard/info.h"

const char *ll_mode_text(uint32_t mode)
{
	switch (mode) {
		case LASTLIGHT_MODE_SUBPROCESS: return "subprocess";
		case LASTLIGHT_MODE_THREAD: return "thread";
		case LASTLIGHT_MODE_NOTHING: return "nothing";
		default: return "not yet";
	}
}

static const char *mode_in_use(void)
{
	uint32_t mode = LASTLIGHT_MODE_NOT_YET;
	lastlight *host = ll_host_open();
	if (host) {
		lastlight_mode_in_use(host, &mode);
	}
	return ll_mode_text(mode);
}

/* Calls `each` with everything that is counted: by the library about submissions, here about what did not get that far. */
static void each_count(void (*each)(const char *name, uint64_t count, void *with), void *with)
{
	lastlight_counts_t counts = {.size = sizeof(counts)};
	lastlight *host = ll_host_open();
	if (host) {
		lastlight_counts(host, &counts);
	}
	each("submitted", counts.submitted, with);
	each("accepted", counts.accepted, with);
	each("refused", counts.refused, with);
	each("lost", counts.lost, with);
	each("waiting", counts.waiting, with);
	each("no_room", counts.no_room, with);
	each("not_taken", counts.not_taken, with);
	each("resent", counts.resent, with);
	each("connected", counts.connected, with);
	each("disconnected", counts.disconnected, with);
	each("promoted", counts.promoted, with);
	each("spans_dropped", LL_G(spans_dropped), with);
	each("tags_dropped", LL_G(tags_dropped), with);
	each("traces_dropped", LL_G(traces_dropped), with);
	each("metrics_dropped", LL_G(metrics_dropped), with);
	each("logs_dropped", LL_G(logs_dropped), with);
}

static void add_count(const char *name, uint64_t count, void *with)
{
	add_assoc_long(with, name, (zend_long)count);
}

void ll_status(zval *out)
{
	ll_check_process();
	ll_host_take_messages();
	array_init(out);
	add_assoc_string(out, "version", LL_VERSION);
	add_assoc_string(out, "library", lastlight_version());
	add_assoc_bool(out, "enabled", LL_G(is_on));
	add_assoc_string(out, "mode", mode_in_use());
	zval counts, messages;
	array_init(&counts);
	each_count(add_count, &counts);
	add_assoc_zval(out, "counts", &counts);
	array_init(&messages);
	ll_host_messages(&messages);
	add_assoc_zval(out, "messages", &messages);
}

static void print_count(const char *name, uint64_t count, void *with)
{
	char text[24];
	snprintf(text, sizeof(text), "%" PRIu64, count);
	php_info_print_table_row(2, name, text);
}

void ll_info(void)
{
	char abi[16];
	snprintf(abi, sizeof(abi), "%u", lastlight_abi());
	php_info_print_table_start();
	php_info_print_table_header(2, "lastlight", ll_setting_enabled() ? "enabled" : "disabled");
	php_info_print_table_row(2, "version", LL_VERSION);
	php_info_print_table_row(2, "library", lastlight_version());
	php_info_print_table_row(2, "ABI", abi);
	php_info_print_table_row(2, "mode in use", mode_in_use());
	php_info_print_table_end();
	php_info_print_table_start();
	php_info_print_table_header(2, "counted by this process", "");
	each_count(print_count, NULL);
	php_info_print_table_end();
}
