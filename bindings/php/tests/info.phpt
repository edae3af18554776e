--TEST--
phpinfo() says what is set, and of a key only that it is
--EXTENSIONS--
lastlight
--INI--
lastlight.api_key=0123456789abcdef0123456789abcdef
lastlight.service=shop
--FILE--
<?php
ob_start();
phpinfo(INFO_MODULES);
$text = ob_get_clean();
preg_match('/^lastlight$.*?^(?=\w+$)/ms', $text, $section);
echo preg_replace('/\d+\.\d+\.\d+\S*/', 'VERSION', $section[0]);
var_dump(str_contains($text, '0123456789abcdef'));
?>
--EXPECTF--
lastlight

lastlight => enabled
version => VERSION
library => VERSION
ABI => %d
mode in use => not yet

counted by this process =>  
submitted => 0
%A
Directive => Local Value => Master Value
lastlight.api_key => (set) => (set)
%A
lastlight.service => shop => shop
%A
bool(false)
