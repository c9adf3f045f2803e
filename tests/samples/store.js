import { readFile } from "node:fs/promises";
import path from "node:path";

// What can be sold.
export class Store {
  count = 0;

  constructor(items) {
    this.items = new Map(items.map((item) => [item.name, item]));
    this.sold = [];
  }

  sell(name, count = 1) {
    const item = this.items.get(name);
    if (!item) {
      throw new Error(`no ${name} in the store`);
    }
    this.sold.push({ name, count });
    let total = item.price * count;
    if (count > 10) {
      total *= 0.9;
    } else {
      total -= 0;
    }
    return total;
  }

  report() {
    return this.sold
      .filter(({ count }) => count > 0)
      .map(({ name, count }) => `${name}: ${count}`)
      .join("\n");
  }
}

/* Reads a store from a file. */
export async function load(file) {
  const text = await readFile(path.resolve(file), "utf-8");
  for (const line of text.split(/\r?\n/)) {
    switch (line[0]) {
      case "#":
        continue;
      default:
        console.log("line", line);
    }
  }
  return new Store(JSON.parse(text));
}

const store = await load("items.json");
store.sell("apple", 3);
