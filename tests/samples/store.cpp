#include <map>
#include <string>
#include <vector>

using std::string;

namespace store {

// One thing for sale.
struct Item {
    string name;
    double price = 0;
};

template <typename T>
class Store {
public:
    explicit Store(std::vector<T> items) {
        for (auto &item : items) {
            items_[item.name] = std::move(item);
        }
    }

    double sell(const string &name, int count = 1) {
        auto found = items_.find(name);
        if (found == items_.end()) {
            throw std::out_of_range("no " + name);
        }
        sold_.push_back(name);
        return found->second.price * count;
    }

    size_t sold() const { return sold_.size(); }

private:
    std::map<string, T> items_;
    std::vector<string> sold_;
    char separator_ = '\t';
};

}  // namespace store

int main() {
    store::Store<store::Item> store({{"apple", 0.5}, {"bread", 2.2}});
    try {
        auto total = store.sell("apple", 3);
        std::printf("%f\n", total);
    } catch (const std::exception &error) {
        return 1;
    }
    return 0;
}
