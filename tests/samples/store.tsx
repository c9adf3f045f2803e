import { useState } from "react";

interface Props {
  items: { name: string; price: number }[];
  title?: string;
}

// Shows what is for sale.
export function Store({ items, title = "Store" }: Props) {
  const [sold, setSold] = useState<string[]>([]);

  function sell(name: string) {
    setSold([...sold, name]);
  }

  if (items.length === 0) {
    return <p>Nothing to sell.</p>;
  }
  return (
    <section className="store">
      <h1>{title.toUpperCase()}</h1>
      <ul>
        {items.map((item) => (
          <li key={item.name}>
            <button onClick={() => sell(item.name)}>{`${item.name}!`}</button>
          </li>
        ))}
      </ul>
      <footer>{sold.length} sold</footer>
    </section>
  );
}
