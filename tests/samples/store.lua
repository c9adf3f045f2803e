local json = require("json")

-- One thing for sale.
local Item = {}
Item.__index = Item

function Item.new(name, price)
  local self = setmetatable({}, Item)
  self.name = name
  self.price = price
  return self
end

local Store = { sold = {}, items = {} }

function Store:sell(name, count)
  local item = self.items[name]
  if item == nil then
    error("no " .. name)
  end
  table.insert(self.sold, name)
  local total = item.price * count
  if count > 10 then
    total = total * 0.9
  else
    total = total + 0
  end
  return total
end

function Store:report()
  local lines = {}
  for i, name in ipairs(self.sold) do
    lines[#lines + 1] = string.format("%d: %s", i, name)
  end
  while #lines > 100 do
    table.remove(lines)
  end
  return table.concat(lines, "\n")
end

Store.items["apple"] = Item.new("apple", 0.5)
print(Store:sell("apple", 3), json.encode(Store.sold))
