--TEST--
Spans are nested as they are started, and end once
--EXTENSIONS--
lastlight
--INI--
lastlight.sidecar_connection_mode=thread
lastlight.api_key=0123456789abcdef0123456789abcdef
lastlight.apm_dd_url=http://127.0.0.1:9
lastlight.dd_url=http://127.0.0.1:9
lastlight.logs_dd_url=http://127.0.0.1:9
lastlight.hostname=h
lastlight.shutdown_timeout_ms=0
lastlight.log_level=off
--FILE--
<?php
use Lastlight\Span;
use function Lastlight\{active_span, root_span, start_span, status, trace};
var_dump(active_span(), root_span());
$outer = start_span('outer', ['key' => 'value', 'number' => 1.5, 'flag' => true]);
$inner = start_span('inner');
var_dump(active_span() == $inner, root_span() == $outer, $inner == $outer);
var_dump($inner->traceId() === $outer->traceId(), $inner->spanId() !== $outer->spanId());
var_dump(preg_match('/^[0-9a-f]{32}$/', $inner->traceId()), preg_match('/^[0-9a-f]{16}$/', $inner->spanId()));
var_dump($inner->setName('n')->setResource('r')->setService('s')->setType('web')->setTag('k', 1)->setMetric('m', 2) === $inner);
// Not in order: the outer one goes on being active after the inner one.
$third = start_span('third');
$inner->finish();
var_dump($inner->isOpen(), active_span() == $third);
$third->finish();
var_dump(active_span() == $outer);
$inner->finish();
echo trace('callback', function (Span $span) { return $span == active_span() ? "same\n" : "other\n"; });
try {
    trace('thrown', fn () => throw new DomainException('as it was'));
} catch (DomainException $e) {
    echo $e->getMessage(), "\n";
}
var_dump(active_span() == $outer);
$outer->finish();
// Its trace is gone: nothing to do, and nothing goes wrong.
var_dump(active_span(), root_span(), $outer->isOpen(), $outer->traceId());
$outer->setTag('late', 'x')->finish();
trace('alone', function (Span $span) { $span->finish(); });
$counts = status()['counts'];
var_dump($counts['submitted'], $counts['spans_dropped'], $counts['traces_dropped']);
?>
--EXPECT--
NULL
NULL
bool(true)
bool(true)
bool(false)
bool(true)
bool(true)
int(1)
int(1)
bool(true)
bool(false)
bool(true)
bool(true)
same
as it was
bool(true)
NULL
NULL
bool(false)
string(0) ""
int(2)
int(0)
int(0)
