--TEST--
A forked child goes on with its parent's trace and sends nothing of its parent's
--EXTENSIONS--
lastlight
pcntl
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
$parent = Lastlight\start_span('parent');
$trace = $parent->traceId();
Lastlight\increment('of.the.parent');
if (pcntl_fork() === 0) {
    var_dump(Lastlight\active_span(), $parent->isOpen());
    $parent->setTag('k', 'v')->finish();
    var_dump(Lastlight\status()['counts']['submitted']);
    $child = Lastlight\start_span('child');
    var_dump($child->traceId() === $trace);
    $child->finish();
    $next = Lastlight\start_span('next');
    var_dump($next->traceId() === $trace);
    $next->finish();
    var_dump(Lastlight\status()['counts']['submitted']);
    exit;
}
pcntl_wait($status);
var_dump($status, $parent->isOpen(), $parent->traceId() === $trace);
?>
--EXPECT--
NULL
bool(false)
int(0)
bool(true)
bool(true)
int(2)
int(0)
bool(true)
bool(true)
