--TEST--
What has no room or cannot be said is counted, and nothing is thrown
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
lastlight.spans_max=10
--FILE--
<?php
$root = Lastlight\start_span('root');
for ($i = 0; $i < 20; $i++) {
    $span = Lastlight\start_span("span $i");
    $span->setTag('k', 'v');
    $span->finish();
}
var_dump($span->isOpen(), $span->traceId(), Lastlight\active_span() == $root);
$root->finish();
Lastlight\gauge('not.a.number', NAN);
Lastlight\gauge('infinite', -INF);
Lastlight\increment('');
Lastlight\increment('_e{1,1}');
Lastlight\increment(str_repeat('x', 201));
Lastlight\increment('rate', 1, [], 0.0);
Lastlight\increment('rate', 1, [], 2.0);
Lastlight\increment('tags', 1, [str_repeat('x', 9000)]);
Lastlight\set('empty', '');
Lastlight\event('');
Lastlight\log(str_repeat('x', 70000));
Lastlight\increment('fine');
Lastlight\log('fine', 'info', ['invalid' => "\xff", 'resource' => STDIN]);
$counts = Lastlight\status()['counts'];
var_dump($counts['spans_dropped'], $counts['metrics_dropped'], $counts['logs_dropped']);
?>
--EXPECT--
bool(false)
string(0) ""
bool(true)
int(11)
int(10)
int(1)
