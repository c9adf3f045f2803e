use std::collections::HashMap;
use std::fmt;

/// One thing for sale.
#[derive(Debug, Clone)]
pub struct Item {
    pub name: String,
    pub price: f64,
}

pub enum Sale {
    Done(f64),
    Missing,
}

pub struct Store<'a> {
    items: HashMap<&'a str, Item>,
    sold: Vec<String>,
}

impl<'a> Store<'a> {
    pub fn new(items: &'a [Item]) -> Self {
        let items = items.iter().map(|item| (item.name.as_str(), item.clone())).collect();
        Store { items, sold: Vec::new() }
    }

    pub fn sell(&mut self, name: &str, count: u32) -> Sale {
        let item = match self.items.get(name) {
            Some(item) => item,
            None => return Sale::Missing,
        };
        self.sold.push(name.to_string());
        // Many are cheaper.
        let factor = if count > 10 { 0.9 } else { 1.0 };
        Sale::Done(item.price * f64::from(count) * factor)
    }
}

impl fmt::Display for Item {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}{}{:.2}", self.name, '\t', self.price)
    }
}

fn main() {
    let items = vec![Item { name: "apple".into(), price: 0.5 }];
    let mut store = Store::new(&items);
    if let Sale::Done(total) = store.sell("apple", 3) {
        println!("{}", total);
    }
}
