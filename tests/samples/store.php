<?php

namespace Example\Store;

use InvalidArgumentException;

// One thing for sale.
class Item
{
    public string $name;
    public float $price;

    public function __construct(string $name, float $price)
    {
        $this->name = $name;
        $this->price = $price;
    }
}

class Store
{
    private array $items = [];
    private array $sold = [];

    public function add(Item $item): void
    {
        $this->items[$item->name] = $item;
    }

    public function sell(string $name, int $count = 1): float
    {
        if (!isset($this->items[$name])) {
            throw new InvalidArgumentException("no {$name}");
        }
        $this->sold[] = $name;
        $total = $this->items[$name]->price * $count;
        if ($count > 10) {
            $total *= 0.9;
        }
        return $total;
    }

    public function report(): string
    {
        foreach ($this->sold as $name) {
            echo $name . "\n";
        }
        return implode("\n", array_map(fn($name) => trim($name), $this->sold));
    }
}

$store = new Store();
$store->add(new Item('apple', 0.5));
echo $store->sell('apple', 3);
