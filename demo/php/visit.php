<?php
// A few customers: `visit.php URL`, or `visit.php SOCKET SCRIPT` where there is no web server before FPM.

const VISIT = [
    ['GET', '/', 200], ['GET', '/product/1', 200], ['GET', '/product/5', 200], ['GET', '/invoice', 200],
    ['POST', '/checkout/2', 200], ['GET', '/product/99', 404], ['GET', '/checkout/4', 500], ['GET', '/', 200],
];

function over_http(string $url, string $method, string $path): int
{
    $context = stream_context_create(['http' => ['method' => $method, 'ignore_errors' => true, 'timeout' => 20]]);
    if (file_get_contents($url . $path, false, $context) === false) {
        return 0;
    }
    return (int) explode(' ', $http_response_header[0])[1];
}

function record(int $kind, string $content): string
{
    return pack('CCnnCC', 1, $kind, 1, strlen($content), 0, 0) . $content;
}

function over_fastcgi(string $socket, string $script, string $method, string $path): int
{
    $parameters = '';
    foreach ([
        'SCRIPT_FILENAME' => $script, 'SCRIPT_NAME' => '/index.php', 'REQUEST_METHOD' => $method, 'REQUEST_URI' => $path,
        'SERVER_PROTOCOL' => 'HTTP/1.1', 'SERVER_NAME' => 'shop.example', 'HTTP_HOST' => 'shop.example',
    ] as $name => $value) {
        $parameters .= chr(strlen($name)) . pack('N', strlen($value) | 1 << 31) . $name . $value;
    }
    $stream = stream_socket_client("unix://$socket", $code, $text, 20);
    stream_set_timeout($stream, 20);
    fwrite($stream, record(1, "\0\1\0\0\0\0\0\0") . record(4, $parameters) . record(4, '') . record(5, ''));
    $output = '';
    while (strlen($header = (string) stream_get_contents($stream, 8)) === 8) {
        ['kind' => $kind, 'length' => $length, 'padding' => $padding] = unpack('Cv/Ckind/nid/nlength/Cpadding', $header);
        $content = $length + $padding > 0 ? stream_get_contents($stream, $length + $padding) : '';
        $output .= $kind === 6 ? substr($content, 0, $length) : '';
        if ($kind === 3) {
            return preg_match('/^Status: (\d+)/m', $output, $found) ? (int) $found[1] : ($output === '' ? 0 : 200);
        }
    }
    return 0;
}

$wrong = 0;
$told = [];
foreach (VISIT as [$method, $path, $wanted]) {
    $status = isset($argv[2]) ? over_fastcgi($argv[1], $argv[2], $method, $path) : over_http($argv[1], $method, $path);
    $told[] = "$method $path " . ($status ?: 'no answer');
    $wrong += (int) ($status !== $wanted);
}
echo 'demo: visited: ', implode(', ', $told), "\n";
exit($wrong > 0 ? 1 : 0);
