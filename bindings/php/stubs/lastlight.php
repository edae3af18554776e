<?php

/**
 * What the extension offers, for readers, editors and analysers. tests/stubs.phpt holds it to the truth.
 *
 * Nothing here waits for another process but flush(), and nothing throws because of what is to be sent: what cannot be said
 * or has no room is counted, see status(). Where lastlight.enabled is off everything is a no-op.
 */

namespace Lastlight;

/** A timed piece of work. Made by start_span(); once its trace is sent it does nothing. */
final class Span
{
    public function setName(string $name): static {}
    public function setResource(string $resource): static {}
    public function setService(string $service): static {}
    public function setType(string $type): static {}
    /** Numbers become metrics of the span, everything else is text. */
    public function setTag(string $key, string|int|float|bool $value): static {}
    public function setMetric(string $key, float $value): static {}
    /** Class, message and stack; of the stack never the arguments. */
    public function setError(\Throwable $error): static {}
    /** A second time does nothing. Spans left open end with the request. */
    public function finish(): void {}
    public function isOpen(): bool {}
    /** 32 hexadecimal digits; empty where there is no such span any more. */
    public function traceId(): string {}
    /** 16 hexadecimal digits; empty where there is no such span any more. */
    public function spanId(): string {}
}

/** Starts a span within the active one. Where none is open it is the root of a trace, which its end sends. */
function start_span(string $name, array $tags = []): Span {}

/** Calls `$callback` with a new span, ends it whatever happens, and notes what is thrown. */
function trace(string $name, callable $callback, array $tags = []): mixed {}

function active_span(): ?Span {}

/** The request's, or the outermost that is open. */
function root_span(): ?Span {}

/** Headers for a request made within the active span, name to value. */
function inject(): array {}

/** Takes the next trace's context from headers; false where there is none in them or a span is open. */
function extract(array $headers): bool {}

/** Has the current trace kept, whatever the sampler decided. */
function keep(): void {}

/** Has the current trace left out, whatever the sampler decided. */
function drop(): void {}

/** Tags: `['key' => 'value']` or `['key:value']`. */
function increment(string $name, float $value = 1, array $tags = [], float $sample_rate = 1): void {}

function decrement(string $name, float $value = 1, array $tags = [], float $sample_rate = 1): void {}

function gauge(string $name, float $value, array $tags = []): void {}

function histogram(string $name, float $value, array $tags = [], float $sample_rate = 1): void {}

function distribution(string $name, float $value, array $tags = [], float $sample_rate = 1): void {}

/** Milliseconds. */
function timing(string $name, float $value, array $tags = [], float $sample_rate = 1): void {}

/** Counts different values. */
function set(string $name, string|int|float $value, array $tags = []): void {}

/** Options: alert_type (info, warning, error, success), priority (normal, low), hostname, aggregation_key, source_type_name, timestamp. */
function event(string $title, string $text = '', array $tags = [], array $options = []): void {}

/** Status: 0 well, 1 warning, 2 critical, 3 unknown. */
function service_check(string $name, int $status, array $tags = [], string $message = ''): void {}

/** A log line with the ids of the active span. */
function log(string $message, string $status = 'info', array $context = []): void {}

/** Sends what is buffered and waits until everything sent so far reached the backend or was counted as lost. */
function flush(int $timeout_ms = 1000): bool {}

/** How the agent runs, what became of what was sent, and its last messages. */
function status(): array {}
