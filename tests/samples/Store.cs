using System;
using System.Collections.Generic;
using System.Linq;

namespace Example.Store
{
    /// <summary>One thing for sale.</summary>
    public record Item(string Name, decimal Price);

    public enum Size { Small, Large }

    public class Store
    {
        private readonly Dictionary<string, Item> items;
        private readonly List<string> sold = new();

        public int Count { get; private set; }

        public Store(IEnumerable<Item> items)
        {
            this.items = items.ToDictionary(item => item.Name);
        }

        public decimal Sell(string name, int count = 1)
        {
            if (!items.TryGetValue(name, out var item))
            {
                throw new ArgumentException($"no {name}");
            }
            sold.Add(name);
            Count += count;
            // Many are cheaper.
            var factor = count > 10 ? 0.9m : 1.0m;
            return item.Price * count * factor;
        }

        public string Report()
        {
            foreach (var name in sold)
            {
                Console.WriteLine(name + '\t');
            }
            return string.Join("\n", sold);
        }
    }
}
