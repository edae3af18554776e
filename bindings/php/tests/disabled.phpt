--TEST--
Where it is off everything is a no-op
--EXTENSIONS--
lastlight
--INI--
lastlight.enabled=off
lastlight.trace_cli=on
--FILE--
<?php
$span = Lastlight\start_span('a');
var_dump($span->isOpen(), $span->setTag('k', 'v') === $span, Lastlight\active_span(), Lastlight\root_span());
var_dump(Lastlight\trace('b', fn () => 42), Lastlight\inject(), Lastlight\extract(['traceparent' => 'x']));
Lastlight\increment('c');
Lastlight\log('d');
var_dump(Lastlight\flush(), Lastlight\status()['enabled'], Lastlight\status()['mode'], array_sum(Lastlight\status()['counts']));
?>
--EXPECT--
bool(false)
bool(true)
NULL
NULL
int(42)
array(0) {
}
bool(false)
bool(true)
bool(false)
string(7) "not yet"
int(0)
