--TEST--
The stubs say what the extension does
--EXTENSIONS--
lastlight
--FILE--
<?php
// Reads "function name(parameters): type" of the stub; types and defaults as reflection words them.
$stub = file_get_contents(__DIR__ . '/../stubs/lastlight.php');
preg_match_all('/^( *public )? *function (\w+)\((.*)\): (\S+) \{\}$/m', $stub, $found, PREG_SET_ORDER);
$words = function (string $type): string {
    $nullable = str_starts_with($type, '?');
    $all = explode('|', str_replace(['\\Throwable', 'Span'], ['Throwable', 'Lastlight\\Span'], ltrim($type, '?')));
    sort($all);
    return ($nullable ? '?' : '') . implode('|', $all);
};
$said = fn (?ReflectionType $type): string => (function (string $text): string {
    $nullable = str_starts_with($text, '?');
    $all = explode('|', ltrim($text, '?'));
    sort($all);
    return ($nullable ? '?' : '') . implode('|', $all);
})((string) $type);
$count = 0;
foreach ($found as [, $public, $name, $parameters, $return]) {
    $is = $public ? new ReflectionMethod('Lastlight\\Span', $name) : new ReflectionFunction("Lastlight\\$name");
    $parts = $parameters === '' ? [] : explode(', ', $parameters);
    if ($words($return) !== $said($is->getReturnType()) || count($parts) !== $is->getNumberOfParameters()) {
        echo "$name: other result or count\n";
    }
    foreach ($is->getParameters() as $at => $parameter) {
        preg_match('/^(\S+) \$(\w+)(?: = (.*))?$/', $parts[$at], $want);
        $default = $parameter->isOptional() ? $parameter->getDefaultValue() : null;
        if ($want[2] !== $parameter->getName() || $words($want[1]) !== $said($parameter->getType())
            || isset($want[3]) !== $parameter->isOptional()
            || (isset($want[3]) && eval("return $want[3];") !== $default)) {
            echo "$name: parameter $at is {$parameter}\n";
        }
    }
    $count++;
}
$extension = new ReflectionExtension('lastlight');
$all = count($extension->getFunctions()) + count((new ReflectionClass('Lastlight\\Span'))->getMethods());
var_dump($count === $all);
?>
--EXPECT--
bool(true)
