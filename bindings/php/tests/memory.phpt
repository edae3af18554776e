--TEST--
What is far too long for a line is not copied into memory that PHP does not limit
--EXTENSIONS--
lastlight
--SKIPIF--
<?php if (!is_readable('/proc/self/status')) die('skip no /proc'); ?>
--INI--
lastlight.sidecar_connection_mode=thread
lastlight.api_key=0123456789abcdef0123456789abcdef
lastlight.apm_dd_url=http://127.0.0.1:9
lastlight.dd_url=http://127.0.0.1:9
lastlight.logs_dd_url=http://127.0.0.1:9
lastlight.hostname=h
lastlight.shutdown_timeout_ms=0
lastlight.log_level=off
memory_limit=256M
--FILE--
<?php
function resident(): int
{
    return (int) preg_replace('/.*VmRSS:\s*(\d+) kB.*/s', '$1', file_get_contents('/proc/self/status'));
}
Lastlight\increment('before');
$before = resident();
$long = str_repeat('x', 64 << 20);
Lastlight\set('long', $long);
Lastlight\increment('long', 1, [$long]);
Lastlight\event('long', $long, [], ['hostname' => $long]);
unset($long);
Lastlight\increment('after');
var_dump(resident() - $before < 16 << 10, Lastlight\status()['counts']['metrics_dropped']);
?>
--EXPECT--
bool(true)
int(3)
