package org.example.store;

import java.util.ArrayList;
import java.util.HashMap;
import java.util.List;
import java.util.Map;

/** A store of items. */
public class Store {
    private final Map<String, Item> items = new HashMap<>();
    private final List<String> sold = new ArrayList<>();
    private static final char SEPARATOR = '\t';

    public Store(List<Item> items) {
        for (Item item : items) {
            this.items.put(item.name(), item);
        }
    }

    public double sell(String name, int count) {
        Item item = items.get(name);
        if (item == null) {
            throw new IllegalArgumentException("no " + name);
        }
        sold.add(name);
        double total = item.price() * count;
        // Many are cheaper.
        if (count > 10) {
            total *= 0.9;
        }
        return total;
    }

    public String report() {
        StringBuilder text = new StringBuilder();
        sold.stream().filter(name -> !name.isEmpty()).forEach(name -> {
            text.append(name).append(SEPARATOR);
        });
        return text.toString();
    }

    record Item(String name, double price) {}

    enum Size { SMALL, LARGE }
}
