/* SPDX-License-Identifier: Apache-2.0
 *
 * The handle of this process tree: when it is opened, what it says, how it is closed.
 *
 * A SAPI that forks its workers opens it before it does, in the master's MINIT, where that only binds a socket: the server is
 * started by the first fork, so `php-fpm -t` starts none and a master that first turns into a daemon loses none. Every other
 * process opens it when it is first used, so one that never traces has paid nothing.
 */

#include "php_lastlight.h"

#include <signal.h>
#include <stdatomic.h>
#include <stdlib.h>
#include <sys/mman.h>
#include <syslog.h>
#include <unistd.h>

#include "SAPI.h"

#define SAID_MAX 62
#define KEPT_MAX 8

static lastlight *handle;
static bool is_tried;
static pid_t submitter; /* the process that used the handle, not only inherited it */

/* What was logged already. Where workers are forked that is memory they share, so that the line which says how the agent runs
 * is there once and not once per worker. */
struct said {
	_Atomic uint64_t hashes[SAID_MAX];
};
static struct said said_here;
static struct said *said = &said_here;

/* The last messages of this process, for Lastlight\status(). */
static char *kept[KEPT_MAX];
static unsigned kept_next;

bool ll_is_cli(void)
{
	const char *name = sapi_module.name;
	return !strcmp(name, "cli") || !strcmp(name, "phpdbg") || !strcmp(name, "embed") || !strcmp(name, "micro");
}

/* Whether the processes that will serve requests are forked by this one. */
static bool is_prefork(void)
{
	const char *name = sapi_module.name;
	if (!strcmp(name, "fpm-fcgi") || !strcmp(name, "apache2handler") || !strcmp(name, "litespeed")) {
		return true;
	}
	const char *children = NULL;
	if (!strcmp(name, "cgi-fcgi")) {
		children = getenv("PHP_FCGI_CHILDREN");
	} else if (!strcmp(name, "cli-server")) {
		children = getenv("PHP_CLI_SERVER_WORKERS");
	}
	return children && atoi(children) > 0;
}

/* Whether this process is the first to say it. When the table is full nothing more is said: a log is not for streams. */
static bool is_new(const char *text, size_t length)
{
	uint64_t hash = zend_hash_func(text, length);
	for (unsigned i = 0; i < SAID_MAX; i++) {
		uint64_t there = 0;
		if (atomic_compare_exchange_strong(&said->hashes[i], &there, hash)) {
			return true;
		}
		if (there == hash) {
			return false;
		}
	}
	return false;
}

static void keep(const char *text)
{
	free(kept[kept_next]);
	kept[kept_next] = strdup(text);
	kept_next = (kept_next + 1) % KEPT_MAX;
}

static void say(const char *text, uint32_t level)
{
	static const int priorities[] = {LOG_ERR, LOG_ERR, LOG_WARNING, LOG_NOTICE, LOG_DEBUG, LOG_DEBUG};
	keep(text);
	if (level > ll_setting_log_level() || !is_new(text, strlen(text))) {
		return;
	}
	char line[2200];
	snprintf(line, sizeof(line), "%s%s", strncmp(text, "lastlight", 9) ? "lastlight: " : "", text);
	/* The log may be a connection that went away, which PHP answers with a jump. */
	zend_try {
		php_log_err_with_severity(line, priorities[level < 6 ? level : 5]);
	} zend_end_try();
}

void ll_host_take_messages(void)
{
	if (!handle) {
		return;
	}
	for (int i = 0; i < 32; i++) {
		char text[2048];
		size_t length = sizeof(text) - 1;
		uint32_t level = LASTLIGHT_LEVEL_INFO;
		lastlight_result result = lastlight_next_message(handle, text, &length, &level);
		if (result == LASTLIGHT_TOO_BIG) {
			/* Taken whole, said in part. */
			char *whole = malloc(length);
			size_t room = length;
			if (!whole) {
				return;
			}
			result = lastlight_next_message(handle, whole, &room, &level);
			length = sizeof(text) - 1 < room ? sizeof(text) - 1 : room;
			memcpy(text, whole, result == LASTLIGHT_OK ? length : 0);
			free(whole);
		}
		if (result != LASTLIGHT_OK) {
			return;
		}
		text[length] = '\0';
		say(text, level);
	}
}

size_t ll_host_messages(zval *list)
{
	size_t count = 0;
	for (unsigned i = 0; i < KEPT_MAX; i++) {
		const char *text = kept[(kept_next + i) % KEPT_MAX];
		if (text) {
			add_next_index_string(list, text);
			count++;
		}
	}
	return count;
}

static lastlight_str optional(const char *text)
{
	return text && *text ? ll_bytes(text, strlen(text)) : LL_NONE;
}

static void open_handle(uint32_t flags)
{
	is_tried = true;
	lastlight_pair settings[16];
	lastlight_options options = {.size = sizeof(options)};
	options.flags = flags;
	options.mode = optional(LL_G(connection_mode));
	options.binary = optional(LL_G(binary));
	options.settings = settings;
	options.settings_count = ll_settings_for_library(settings, sizeof(settings) / sizeof(settings[0]));
	lastlight_result result = lastlight_open(&options, &handle);
	if (result != LASTLIGHT_OK) {
		handle = NULL;
		char text[256];
		snprintf(text, sizeof(text), "nothing will be sent: the agent could not be opened: %s", lastlight_result_text(result));
		say(text, LASTLIGHT_LEVEL_ERROR);
	}
	ll_host_take_messages();
}

void ll_host_startup(void)
{
	if (handle || !is_prefork() || !ll_setting_enabled()) {
		return;
	}
	void *page = mmap(NULL, sizeof(struct said), PROT_READ | PROT_WRITE, MAP_SHARED | MAP_ANONYMOUS, -1, 0);
	said = page == MAP_FAILED ? &said_here : page;
	open_handle(LASTLIGHT_LAZY);
}

lastlight *ll_host_open(void)
{
	return handle;
}

lastlight *ll_host(void)
{
	if (!handle && !is_tried) {
		if (is_prefork()) {
			/* One agent for each worker is not what anybody wants. */
			is_tried = true;
			say("nothing will be sent: lastlight.enabled was off when this server started; set it in php.ini", LASTLIGHT_LEVEL_WARN);
			return NULL;
		}
		open_handle(0);
	}
	submitter = getpid();
	return handle;
}

/* A process that is not connected yet has what it submitted in its own memory until it is called again, which in a quiet pool
 * may be never: FPM ends its workers by a signal. So it waits for the sidecar's answer, once the response is out, a few times in
 * its life; a connected one never waits. */
void ll_host_connect(void)
{
	static unsigned tries;
	static pid_t tried_by;
	lastlight_counts_t counts = {.size = sizeof(counts)};
	if (!handle || lastlight_counts(handle, &counts) != LASTLIGHT_OK) {
		return;
	}
	if (tried_by != getpid()) {
		tried_by = getpid();
		tries = 0;
	}
	if (counts.connected > counts.disconnected) {
		tries = 0;
	} else if (counts.waiting && tries < LL_CONNECT_TRIES) {
		/* The first one longer: there may be no second request. */
		uint32_t share = counts.connected || tries ? 1 : LL_CONNECT_FIRST;
		tries += share;
		lastlight_settle(handle, share * LL_CONNECT_MS);
	}
}

/* A worker waits for an answer to what it submitted, not for its delivery; the process that serves by a thread delivers. */
void ll_host_shutdown(void)
{
	uint32_t mode = LASTLIGHT_MODE_NOT_YET;
	if (handle && submitter != getpid() && lastlight_mode_in_use(handle, &mode) == LASTLIGHT_OK && mode == LASTLIGHT_MODE_NOT_YET) {
		/* `php-fpm -t`, or a server that PHP is loaded into twice before it forks: nobody was started, so there is nobody to say
		 * goodbye to, and the socket serves the next start. */
		ll_host_take_messages();
		return;
	}
	if (handle) {
		uint32_t within = ll_setting_shutdown_timeout_ms();
		if (submitter == getpid() && is_prefork()) {
			lastlight_settle(handle, within < LL_SETTLE_MS ? within : LL_SETTLE_MS);
		}
		lastlight_counts_t counts = {.size = sizeof(counts)};
		lastlight_close(handle, within, &counts);
		ll_host_take_messages();
		uint64_t no_room = counts.no_room + counts.not_taken;
		if (counts.lost || no_room) {
			char text[192];
			snprintf(text, sizeof(text), "of process %d %" PRIu64 " submissions found no room, and %" PRIu64 " of %" PRIu64
				" are lost by its end", (int)getpid(), no_room, counts.lost, counts.submitted);
			say(text, LASTLIGHT_LEVEL_WARN);
		}
		lastlight_free(handle);
	}
	handle = NULL;
	is_tried = false;
	for (unsigned i = 0; i < KEPT_MAX; i++) {
		free(kept[i]);
		kept[i] = NULL;
	}
	if (said != &said_here) {
		munmap(said, sizeof(*said));
		said = &said_here;
	}
}
