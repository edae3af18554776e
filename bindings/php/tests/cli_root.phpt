--TEST--
A command is a trace where that is asked for
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
lastlight.trace_cli=1
--FILE--
<?php
$root = Lastlight\root_span();
var_dump($root == Lastlight\active_span(), $root->isOpen());
$work = Lastlight\start_span('work');
var_dump($work->traceId() === $root->traceId());
$work->finish();
$root->finish();
// What comes after its end is still within it.
$late = Lastlight\start_span('late');
var_dump($late->traceId() === $root->traceId());
?>
--EXPECT--
bool(true)
bool(true)
bool(true)
bool(true)
