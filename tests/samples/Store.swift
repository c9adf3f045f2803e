import Foundation

// One thing for sale.
struct Item {
    let name: String
    var price: Double
}

enum SaleError: Error {
    case missing(String)
}

protocol Seller {
    func sell(_ name: String, count: Int) throws -> Double
}

class Store: Seller {
    private var items: [String: Item] = [:]
    private var sold: [String] = []

    init(items: [Item]) {
        for item in items {
            self.items[item.name] = item
        }
    }

    func sell(_ name: String, count: Int) throws -> Double {
        guard let item = items[name] else {
            throw SaleError.missing("no \(name)")
        }
        sold.append(name)
        var total = item.price * Double(count)
        if count > 10 {
            total *= 0.9
        }
        return total
    }

    func report() -> String {
        let lines = sold.filter { !$0.isEmpty }.map { name in
            return name.uppercased()
        }
        return lines.joined(separator: "\n")
    }
}

let store = Store(items: [Item(name: "apple", price: 0.5)])
print(try store.sell("apple", count: 3))
