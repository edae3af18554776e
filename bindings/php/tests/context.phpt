--TEST--
The context of a caller is taken and given, Datadog's and W3C's
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
use function Lastlight\{extract, inject, keep, start_span};
var_dump(inject(), extract([]), extract(['accept' => 'text/html']));
var_dump(extract(['X-Datadog-Trace-Id' => '1234', 'x-datadog-parent-id' => ['5678'], 'x-datadog-sampling-priority' => '1']));
$span = start_span('job');
var_dump($span->traceId(), extract(['traceparent' => '00-0000000000000000000000000000162e-00000000000004d2-01']));
$headers = inject();
var_dump($headers['x-datadog-trace-id'], $headers['x-datadog-parent-id'] === (string) hexdec($span->spanId()) || strlen($span->spanId()) === 16);
var_dump($headers['traceparent'] === "00-{$span->traceId()}-{$span->spanId()}-01");
keep();
var_dump(inject()['x-datadog-sampling-priority']);
$span->finish();
// The next job is another trace.
var_dump(extract(['traceparent' => '00-0000000000000000000000000000162e-00000000000004d2-01']));
$next = start_span('job');
var_dump($next->traceId());
$next->finish();
$third = start_span('job');
var_dump($third->traceId() !== $next->traceId() && strlen($third->traceId()) === 32);
?>
--EXPECT--
array(0) {
}
bool(false)
bool(false)
bool(true)
string(32) "000000000000000000000000000004d2"
bool(false)
string(4) "1234"
bool(true)
bool(true)
string(1) "2"
bool(true)
string(32) "0000000000000000000000000000162e"
bool(true)
