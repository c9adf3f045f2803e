import { readFile } from "node:fs/promises";

export interface Item {
  name: string;
  price: number;
  tags?: string[];
}

type Sold = Record<string, number>;

enum Size {
  Small = "small",
  Large = "large",
}

// A store of items.
export class Store<T extends Item> {
  private readonly items = new Map<string, T>();
  private sold: Sold = {};

  constructor(items: Iterable<T>, readonly size: Size = Size.Small) {
    for (const item of items) {
      this.items.set(item.name, item);
    }
  }

  sell(name: string, count = 1): number {
    const item = this.items.get(name);
    if (item === undefined) {
      throw new Error(`no ${name} here`);
    }
    this.sold[name] = (this.sold[name] ?? 0) + count;
    return item.price * count;
  }

  async save(write: (text: string) => Promise<void>): Promise<void> {
    try {
      await write(JSON.stringify(this.sold, null, 2));
    } catch (error) {
      console.error("could not save", error);
    }
  }
}

export async function load(file: string): Promise<Store<Item>> {
  const text: string = await readFile(file, "utf-8");
  const items = JSON.parse(text) as Item[];
  return new Store(items.filter((item) => item.price > 0));
}
