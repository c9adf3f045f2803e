-- What is for sale.
CREATE TABLE items (
    id INTEGER PRIMARY KEY,
    name TEXT NOT NULL,
    price NUMERIC(10, 2) NOT NULL
);

CREATE TABLE sold (
    item_id INTEGER REFERENCES items (id),
    count INTEGER NOT NULL
);

/* Some items to begin with. */
INSERT INTO items (id, name, price) VALUES (1, 'apple', 0.5), (2, 'bread', 2.2);

SELECT items.name, SUM(sold.count) AS total
FROM sold
JOIN items ON items.id = sold.item_id
WHERE sold.count > 0
GROUP BY items.name
ORDER BY total DESC
LIMIT 10;

UPDATE items SET price = price * 0.9 WHERE name = 'apple';

DELETE FROM sold WHERE count = 0;
