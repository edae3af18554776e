--TEST--
What the program's own jsonSerialize() does to a log entry stays with that entry
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
class Throws implements JsonSerializable
{
    public function jsonSerialize(): mixed { throw new Exception('within'); }
}
class Logs implements JsonSerializable
{
    public function jsonSerialize(): mixed { Lastlight\log('inner'); Lastlight\flush(0); return 'outer'; }
}
class Leaves implements JsonSerializable
{
    public function jsonSerialize(): mixed { exit; }
}
register_shutdown_function(fn () => var_dump(Lastlight\status()['counts']['logs_dropped']));
Lastlight\log('first');
Lastlight\log('a', 'info', ['one' => new Throws, 'two' => new Throws]);
Lastlight\log('a', 'info', ['one' => new Logs]);
echo "goes on\n";
Lastlight\log('a', 'info', ['one' => new Leaves]);
echo "never\n";
?>
--EXPECT--
goes on
int(2)
