--TEST--
INI counts over the environment
--EXTENSIONS--
lastlight
--ENV--
DD_TRACE_ENABLED=false
--INI--
lastlight.enabled=1
--FILE--
<?php
var_dump(Lastlight\status()['enabled']);
?>
--EXPECT--
bool(true)
