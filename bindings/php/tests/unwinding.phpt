--TEST--
trace() ends its span however its callback ends, and calls nothing of what was thrown
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
use function Lastlight\trace;

class Unset_ extends Exception
{
    public function __construct() { unset($this->message); }
    public function __isset($name) { echo "asked\n"; return true; }
    public function __get($name) { throw new LogicException('of the property'); }
}

try {
    trace('a', function ($span) use (&$kept) { $kept = $span; throw new Unset_; });
} catch (Throwable $e) {
    var_dump(get_class($e), $e->getPrevious(), $kept->isOpen());
}
Lastlight\start_span('b')->setError(new Unset_)->finish();

$fiber = new Fiber(function () use (&$kept) {
    trace('c', function ($span) use (&$kept) { $kept = $span; Fiber::suspend(); });
});
$fiber->start();
var_dump($kept->isOpen());
unset($fiber);
gc_collect_cycles();
var_dump($kept->isOpen(), Lastlight\active_span());

register_shutdown_function(function () {
    global $kept;
    var_dump($kept->isOpen(), Lastlight\active_span(), Lastlight\status()['counts']['submitted']);
});
trace('d', function ($span) { $GLOBALS['kept'] = $span; exit; });
?>
--EXPECT--
string(6) "Unset_"
NULL
bool(false)
bool(true)
bool(false)
NULL
bool(false)
NULL
int(4)
