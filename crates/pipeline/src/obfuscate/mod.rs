//! What the backend must not see: literals of statements, arguments of commands, values of documents, credentials and
//! card numbers (`facts/trace-intake.md` §6).
//!
//! The outcome is the reference agent's, down to the spaces, because backends and users group by it. The few
//! deliberate differences stand in DIFFERENCES.md beside this file.

mod cache;
mod cards;
mod json;
mod redis;
mod sql;
mod sql_lexer;
mod sql_tokens;
mod url;

#[cfg(test)]
mod sql_properties;
#[cfg(test)]
mod sql_vectors;
#[cfg(test)]
mod tests;

pub use cache::CacheStats;

use crate::config::{CommandConfig, HttpConfig, MemcachedConfig, ObfuscationConfig, SqlMode};
use cache::{Cache, Known};
use cards::Cards;
use json::Json;
use model::{AttributeValue, Bump, Span};
use sql_tokens::{Dialect, Unreadable};
use std::borrow::Cow;
use std::cell::RefCell;

/// What stands where a statement could not be read.
pub const UNREADABLE_SQL: &str = "Non-parsable SQL query";
/// What stands where a value was.
const PLACEHOLDER: &str = "?";
/// A scratch buffer that has grown beyond this is given back.
const SCRATCH_MAX_BYTES: usize = 64 * 1024;

thread_local! {
    /// Results are written here before they are copied, exactly sized, into an arena or the cache.
    static SCRATCH: RefCell<String> = const { RefCell::new(String::new()) };
}

/// Hides what must not leave; shared by all workers.
pub struct Obfuscator {
    sql_mode: SqlMode,
    cache: Cache,
    cards: Cards,
    redis: CommandConfig,
    valkey: CommandConfig,
    memcached: MemcachedConfig,
    http: HttpConfig,
    mongodb: Json,
    elasticsearch: Json,
    opensearch: Json,
    remove_stack_traces: bool,
}

impl Obfuscator {
    /// An obfuscator with an empty cache.
    pub fn new(config: ObfuscationConfig) -> Self {
        Self {
            sql_mode: config.sql_mode,
            cache: Cache::new(config.cache_max_bytes),
            cards: Cards::new(config.credit_cards),
            redis: config.redis,
            valkey: config.valkey,
            memcached: config.memcached,
            http: config.http,
            mongodb: Json::new(config.mongodb),
            elasticsearch: Json::new(config.elasticsearch),
            opensearch: Json::new(config.opensearch),
            remove_stack_traces: config.remove_stack_traces,
        }
    }

    /// Obfuscates one span in place: card numbers in every tag, then the resource and the tags its type asks for.
    pub fn span<'a>(&self, arena: &'a Bump, span: &mut Span<'a>) {
        if self.cards.enabled() {
            self.hide_cards(span);
        }
        match span.span_type {
            "sql" | "cassandra" => self.sql_span(arena, span),
            "redis" => self.command_span(arena, span, self.redis, "redis.raw_command"),
            "valkey" => self.command_span(arena, span, self.valkey, "valkey.raw_command"),
            "web" | "http" => rewrite_tag(span, "http.url", |value| self.url(arena, value)),
            "memcached" if self.memcached.enabled => {
                rewrite_tag(span, "memcached.command", |value| memcached(value, self.memcached));
            }
            "mongodb" if self.mongodb.enabled() => {
                rewrite_tag(span, "mongodb.query", |value| self.json(arena, &self.mongodb, value));
            }
            "elasticsearch" | "opensearch" => {
                for (key, json) in
                    [("elasticsearch.body", &self.elasticsearch), ("opensearch.body", &self.opensearch)]
                {
                    if json.enabled() {
                        rewrite_tag(span, key, |value| self.json(arena, json, value));
                    }
                }
            }
            _ => {}
        }
        if self.remove_stack_traces {
            rewrite_tag(span, "error.stack", |_| PLACEHOLDER);
        }
    }

    /// The resource of a client-computed stats group, obfuscated by span type: statements, and command names of Redis
    /// and Valkey.
    pub fn stats_resource<'r>(&self, span_type: &str, db_type: &str, resource: &'r str) -> Cow<'r, str> {
        match span_type {
            "sql" | "cassandra" if !resource.is_empty() => {
                self.sql(Dialect::new(db_type), resource, |known| match known {
                    Known::Unchanged => Cow::Borrowed(resource),
                    Known::Unreadable => Cow::Borrowed(UNREADABLE_SQL),
                    Known::Becomes(text) => Cow::Owned(text.to_owned()),
                })
            }
            "redis" | "valkey" => with_scratch(|scratch| {
                redis::quantize(resource, scratch);
                if scratch == resource { Cow::Borrowed(resource) } else { Cow::Owned(scratch.clone()) }
            }),
            _ => Cow::Borrowed(resource),
        }
    }

    /// How the cache of statements fares.
    pub fn cache_stats(&self) -> CacheStats {
        self.cache.stats()
    }

    fn hide_cards(&self, span: &mut Span<'_>) {
        for (key, value) in &mut span.meta {
            if self.cards.hides(key, value) {
                *value = PLACEHOLDER;
            }
        }
        for event in &mut span.events {
            for (key, value) in &mut event.attributes {
                self.hide_card_attribute(key, value);
            }
        }
    }

    fn hide_card_attribute(&self, key: &str, value: &mut AttributeValue<'_>) {
        let hides = match value {
            AttributeValue::String(text) => self.cards.hides(key, text),
            AttributeValue::Int(number) => self.cards.hides_integer(key, *number),
            AttributeValue::Double(number) => self.cards.hides_double(key, *number),
            AttributeValue::Bool(_) => false,
            AttributeValue::Array(values) => {
                // Arrays hold no arrays on the wire, so this goes one level deep.
                for value in values.iter_mut().filter(|value| !matches!(value, AttributeValue::Array(_))) {
                    self.hide_card_attribute(key, value);
                }
                false
            }
        };
        if hides {
            *value = AttributeValue::String(PLACEHOLDER);
        }
    }

    fn sql_span<'a>(&self, arena: &'a Bump, span: &mut Span<'a>) {
        let dialect = Dialect::new(span.meta("db.type").unwrap_or_default());
        let raw = span.resource;
        if !raw.is_empty() {
            span.resource = self.sql_in(arena, dialect, raw);
        }
        let mut query_found = raw.is_empty();
        for (key, value) in &mut span.meta {
            match *key {
                "sql.query" if !raw.is_empty() => {
                    *value = span.resource;
                    query_found = true;
                }
                // The names OpenTelemetry gives the raw statement, and ours when the resource is no statement.
                "sql.query" | "db.statement" | "db.query.text" if !value.is_empty() => {
                    *value = if *value == raw { span.resource } else { self.sql_in(arena, dialect, value) };
                }
                _ => {}
            }
        }
        if !query_found {
            span.meta.push(("sql.query", span.resource));
        }
    }

    fn sql_in<'a>(&self, arena: &'a Bump, dialect: Dialect, statement: &'a str) -> &'a str {
        self.sql(dialect, statement, |known| match known {
            Known::Unchanged => statement,
            Known::Unreadable => UNREADABLE_SQL,
            Known::Becomes(text) => arena.alloc_str(text),
        })
    }

    /// Obfuscates a statement, or remembers what it became.
    fn sql<T>(&self, dialect: Dialect, statement: &str, use_it: impl Fn(Known<'_>) -> T) -> T {
        let mut keep_as = None;
        if self.cache.takes(statement) {
            let hash = self.cache.hash(dialect, statement);
            match self.cache.find(hash, dialect, statement, &use_it) {
                Ok(found) => return found,
                Err(unknown) => keep_as = unknown.met_before.then_some(hash),
            }
        }
        with_scratch(|scratch| {
            let known = match self.read_sql(dialect, statement, scratch) {
                Err(Unreadable) => Known::Unreadable,
                Ok(()) if scratch == statement => Known::Unchanged,
                Ok(()) => Known::Becomes(scratch),
            };
            if let Some(hash) = keep_as {
                self.cache.insert(hash, dialect, statement, known);
            }
            use_it(known)
        })
    }

    fn read_sql(&self, dialect: Dialect, statement: &str, out: &mut String) -> Result<(), Unreadable> {
        match self.sql_mode {
            SqlMode::Default => sql::obfuscate(statement, dialect, out),
            mode => {
                sql_lexer::rewrite(statement, dialect, mode, out);
                Ok(())
            }
        }
    }

    fn command_span<'a>(&self, arena: &'a Bump, span: &mut Span<'a>, config: CommandConfig, tag: &str) {
        span.resource = copy_of(arena, span.resource, redis::quantize);
        if config.enabled {
            let rewrite = if config.remove_all_args { redis::remove_all_arguments } else { redis::obfuscate };
            rewrite_tag(span, tag, |value| copy_of(arena, value, rewrite));
        }
    }

    fn url<'a>(&self, arena: &'a Bump, url: &'a str) -> &'a str {
        with_scratch(
            |scratch| {
                if url::obfuscate(url, self.http, scratch) { arena.alloc_str(scratch) } else { url }
            },
        )
    }

    fn json<'a>(&self, arena: &'a Bump, json: &Json, document: &'a str) -> &'a str {
        copy_of(arena, document, |document, out| {
            json.obfuscate(document, out, |statement, out| {
                self.sql(Dialect::Generic, statement, |known| match known {
                    Known::Unchanged => statement.to_owned(),
                    Known::Unreadable => UNREADABLE_SQL.to_owned(),
                    Known::Becomes(text) => text.to_owned(),
                })
                .clone_into(out);
            });
        })
    }
}

/// Leaves only the command, or nothing.
fn memcached(command: &str, config: MemcachedConfig) -> &str {
    if !config.keep_command {
        return "";
    }
    // Data follows the command's line.
    command.split("\r\n").next().unwrap_or_default().trim()
}

/// Replaces the values of a tag, unless they are empty.
fn rewrite_tag<'a>(span: &mut Span<'a>, tag: &str, rewrite: impl Fn(&'a str) -> &'a str) {
    for (key, value) in &mut span.meta {
        if *key == tag && !value.is_empty() {
            *value = rewrite(value);
        }
    }
}

/// What `write` makes of a text: the text itself when that is the same, else a copy in the arena.
fn copy_of<'a>(arena: &'a Bump, text: &'a str, write: impl FnOnce(&str, &mut String)) -> &'a str {
    with_scratch(|scratch| {
        write(text, scratch);
        if scratch == text { text } else { arena.alloc_str(scratch) }
    })
}

/// Lends this thread's scratch buffer; a nested loan gets a new one.
fn with_scratch<T>(write: impl FnOnce(&mut String) -> T) -> T {
    let mut scratch = SCRATCH.take();
    let result = write(&mut scratch);
    if scratch.capacity() <= SCRATCH_MAX_BYTES {
        SCRATCH.set(scratch);
    }
    result
}
