<?php
// What is served under load: `real` sorts, hashes and builds a page, `trivial` says a word.

if (str_ends_with($_SERVER['REQUEST_URI'], 'trivial')) {
    echo 'ok';
    return;
}

$orders = [];
$state = 1;
for ($number = 0; $number < 1500; $number++) {
    $state = ($state * 1103515245 + 12345) & 0x7fffffff;
    $orders[] = ['id' => $number, 'total' => $state % 100000, 'name' => 'order ' . dechex($state)];
}
usort($orders, static fn(array $a, array $b): int => $b['total'] <=> $a['total']);
$rows = [];
foreach (array_slice($orders, 0, 300) as $order) {
    $rows[] = sprintf('<tr><td>%d</td><td>%s</td><td>%.2f</td></tr>', $order['id'], htmlspecialchars(ucwords($order['name'])), $order['total'] / 100);
}
echo '<table id="', md5(serialize($rows)), '">', implode("\n", $rows), '</table>';
