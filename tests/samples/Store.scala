package org.example.store

import scala.collection.mutable

// One thing for sale.
case class Item(name: String, price: Double)

trait Seller {
  def sell(name: String, count: Int): Double
}

class Store(items: Seq[Item]) extends Seller {
  private val byName = items.map(item => item.name -> item).toMap
  private val sold = mutable.Buffer.empty[String]
  private var total = 0.0

  def sell(name: String, count: Int): Double = {
    val item = byName.getOrElse(name, throw new NoSuchElementException(s"no ${name.trim}"))
    sold += name
    val price = if (count > 10) {
      item.price * 0.9
    } else {
      item.price
    }
    total = total + price * count
    price * count
  }

  def report: String = {
    val lines = for (name <- sold) yield {
      name match {
        case "" => "nothing"
        case other => other + '\t'
      }
    }
    lines.mkString("\n")
  }
}

object Main {
  def main(args: Array[String]): Unit = {
    val store = new Store(Seq(Item("apple", 0.5)))
    println(store.sell("apple", 3))
  }
}
