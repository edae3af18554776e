--TEST--
The environment counts where INI says nothing
--EXTENSIONS--
lastlight
--ENV--
DD_TRACE_ENABLED=false
--FILE--
<?php
var_dump(Lastlight\status()['enabled']);
?>
--EXPECT--
bool(false)
