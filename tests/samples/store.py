"""A small shop: sample code for the tests of languages."""

from __future__ import annotations

import json
from dataclasses import dataclass, field
from pathlib import Path


@dataclass
class Item:
    """One thing for sale."""

    name: str
    price: float
    tags: list[str] = field(default_factory=list)

    def label(self, currency: str = "EUR") -> str:
        # What the customer sees.
        return f"{self.name}: {self.price:.2f} {currency}"


class Store:
    def __init__(self, items: list[Item]) -> None:
        self.items = {item.name: item for item in items}
        self.sold: list[tuple[str, int]] = []

    def sell(self, name: str, count: int = 1) -> float:
        if name not in self.items:
            raise KeyError(name)
        item = self.items[name]
        self.sold.append((name, count))
        total = item.price * count
        if count > 10:
            total *= 0.9
        elif count > 5:
            total *= 0.95
        return total

    def report(self) -> str:
        lines = []
        for name, count in self.sold:
            try:
                price = self.items[name].price
            except KeyError:
                continue
            lines.append(f"{name}\t{count}\t{price * count}")
        return "\n".join(lines)

    def save(self, path: str) -> None:
        with Path(path).open("w") as file:
            json.dump(
                {"sold": self.sold, "items": sorted(self.items)},
                file,
                indent=2,
            )


def main() -> None:
    store = Store([Item("apple", 0.5, ["fruit"]), Item("bread", 2.2)])
    while (name := input("What? ")) != "":
        print(store.sell(name))
    print(store.report())
