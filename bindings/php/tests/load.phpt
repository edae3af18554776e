--TEST--
Loaded by one line, a script that never traces starts nothing
--EXTENSIONS--
lastlight
--FILE--
<?php
$open = count(scandir('/proc/self/fd'));
var_dump(extension_loaded('lastlight'));
$status = Lastlight\status();
var_dump($status['mode'], array_sum($status['counts']), $status['messages']);
var_dump(preg_match('/^Threads:\s+1$/m', file_get_contents('/proc/self/status')));
var_dump(count(scandir('/proc/self/fd')) === $open);
?>
--EXPECT--
bool(true)
string(7) "not yet"
int(0)
array(0) {
}
int(1)
bool(true)
