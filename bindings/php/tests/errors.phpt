--TEST--
Wrong arguments are errors as PHP's own functions have them
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
$tries = [
    fn () => Lastlight\start_span(),
    fn () => Lastlight\start_span([]),
    fn () => Lastlight\start_span('a', 'tags'),
    fn () => Lastlight\trace('a', 'no such function'),
    fn () => Lastlight\start_span('a')->setTag('k', null),
    fn () => Lastlight\start_span('a')->setTag('k', new stdClass),
    fn () => Lastlight\start_span('a')->setError('text'),
    fn () => Lastlight\increment('a', 'text'),
    fn () => Lastlight\set('a', []),
    fn () => Lastlight\service_check('a', 4),
    fn () => Lastlight\flush(-1),
    fn () => new Lastlight\Span,
    fn () => clone Lastlight\start_span('a'),
    fn () => serialize(Lastlight\start_span('a')),
    fn () => Lastlight\start_span('a')->dynamic = 1,
];
foreach ($tries as $try) {
    try {
        $try();
        echo "nothing\n";
    } catch (Throwable $e) {
        echo get_class($e), ': ', $e->getMessage(), "\n";
    }
}
?>
--EXPECT--
ArgumentCountError: Lastlight\start_span() expects at least 1 argument, 0 given
TypeError: Lastlight\start_span(): Argument #1 ($name) must be of type string, array given
TypeError: Lastlight\start_span(): Argument #2 ($tags) must be of type array, string given
TypeError: Lastlight\trace(): Argument #2 ($callback) must be a valid callback, function "no such function" not found or invalid function name
TypeError: Lastlight\Span::setTag(): Argument #2 ($value) must be of type string|int|float|bool, null given
TypeError: Lastlight\Span::setTag(): Argument #2 ($value) must be of type string|int|float|bool, stdClass given
TypeError: Lastlight\Span::setError(): Argument #1 ($error) must be of type Throwable, string given
TypeError: Lastlight\increment(): Argument #2 ($value) must be of type float, string given
TypeError: Lastlight\set(): Argument #2 ($value) must be of type string|int|float, array given
ValueError: Lastlight\service_check(): Argument #2 ($status) must be between 0 and 3
ValueError: Lastlight\flush(): Argument #1 ($timeout_ms) must be greater than or equal to 0
Error: Lastlight\Span is made by Lastlight\start_span()
Error: Trying to clone an uncloneable object of class Lastlight\Span
Exception: Serialization of 'Lastlight\Span' is not allowed
Error: Cannot create dynamic property Lastlight\Span::$dynamic
