package store

import (
	"errors"
	"fmt"
	"strings"
)

// Item is one thing for sale.
type Item struct {
	Name  string
	Price float64
}

const separator = '\t'

type Store struct {
	items map[string]Item
	sold  []string
}

func New(items []Item) *Store {
	store := &Store{items: make(map[string]Item)}
	for _, item := range items {
		store.items[item.Name] = item
	}
	return store
}

// Sell takes count of an item out of the store.
func (s *Store) Sell(name string, count int) (float64, error) {
	item, found := s.items[name]
	if !found {
		return 0, errors.New("no " + name)
	}
	s.sold = append(s.sold, name)
	total := item.Price * float64(count)
	if count > 10 {
		total *= 0.9
	}
	return total, nil
}

func (s *Store) Report() string {
	var lines []string
	for i, name := range s.sold {
		switch {
		case name == "":
			continue
		default:
			lines = append(lines, fmt.Sprintf(`%d: %s`, i, name))
		}
	}
	return strings.Join(lines, "\n")
}
