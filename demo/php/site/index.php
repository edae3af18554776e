<?php
// A small shop. Each request is a trace by itself; what is within it is said here.

use function Lastlight\{distribution, event, gauge, histogram, increment, log, start_span, trace};

const PRODUCTS = [
    1 => ['lamp', 4900, 7], 2 => ['lantern', 7900, 2], 3 => ['candle', 300, 144], 4 => ['torch', 1900, 0],
    5 => ['beacon', 129900, 1],
];

final class SoldOut extends RuntimeException
{
}

/** Stands for a database: a query takes its time. */
function query(string $statement, int $microseconds = 1500): void
{
    $span = start_span('mysql.query')->setService('shop-db')->setResource($statement)->setType('sql');
    usleep($microseconds);
    $span->finish();
}

function product(int $number): array
{
    query('SELECT name, price FROM products WHERE id = ?');
    if (!isset(PRODUCTS[$number])) {
        http_response_code(404);
        return ['error' => "no product $number"];
    }
    [$name, $price] = PRODUCTS[$number];
    return ['name' => $name, 'price' => $price, 'pieces' => pieces_in_stock($number)];
}

function pieces_in_stock(int $number): int
{
    return trace('shop.warehouse', function () use ($number) {
        query('SELECT pieces FROM stock WHERE product = ?', 800);
        usleep(4000);
        return PRODUCTS[$number][2];
    }, ['product' => $number]);
}

function checkout(int $number): array
{
    if (pieces_in_stock($number) === 0) {
        event("Product $number is sold out", 'A customer wanted one.', options: ['alert_type' => 'warning']);
        throw new SoldOut("product $number is sold out");
    }
    query('UPDATE stock SET pieces = pieces - ? WHERE product = ?', 3000);
    increment('shop.orders', 1, ['product' => PRODUCTS[$number][0]]);
    histogram('shop.order.pieces', 1);
    log("ordered: {$number}", 'info', ['product' => $number]);
    return ['ordered' => $number];
}

/** The classic mistake: a query per line instead of one for all. */
function invoice(): array
{
    $total = 0;
    for ($line = 0; $line < 12; $line++) {
        query('SELECT price FROM products WHERE id = ?', 500);
        $total += PRODUCTS[$line % count(PRODUCTS) + 1][1];
    }
    distribution('shop.invoice.total', $total / 100);
    return ['total' => $total];
}

function home(): array
{
    foreach (PRODUCTS as [$name, , $pieces]) {
        gauge('shop.stock', $pieces, ['product' => $name]);
    }
    query('SELECT id, name, price FROM products ORDER BY name', 2500);
    return array_column(PRODUCTS, 0);
}

$path = explode('/', trim(parse_url($_SERVER['REQUEST_URI'], PHP_URL_PATH), '/'));
$number = (int) ($path[1] ?? 0);
$page = match ($path[0]) {
    '' => home(),
    'product' => product($number),
    'invoice' => invoice(),
    'checkout' => checkout($number),
    default => ['error' => 'no such page'],
};
trace('shop.render', function () use ($page) {
    usleep(1000);
    header('Content-Type: application/json');
    echo json_encode($page), "\n";
});
