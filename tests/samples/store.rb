require "json"

# One thing for sale.
class Item
  attr_reader :name, :price

  def initialize(name, price)
    @name = name
    @price = price
  end

  def label
    "#{@name}: #{@price}"
  end
end

module Shop
  class Store
    def initialize(items)
      @items = items.map { |item| [item.name, item] }.to_h
      @sold = []
    end

    def sell(name, count = 1)
      item = @items[name]
      raise ArgumentError, "no #{name}" if item.nil?
      @sold << name
      total = item.price * count
      if count > 10
        total *= 0.9
      else
        total += 0
      end
      total
    end

    def report
      @sold.each do |name|
        puts name
      end
      @sold.join("\n")
    end
  end
end

store = Shop::Store.new([Item.new("apple", 0.5)])
puts store.sell("apple", 3)
puts JSON.dump({ sold: store.report })
