package org.example.store

import java.io.File
import kotlin.math.max

// One thing for sale.
data class Item(val name: String, val price: Double)

enum class Size { SMALL, LARGE }

class Store(items: List<Item>) {
    private val items = items.associateBy { it.name }
    private val sold = mutableListOf<String>()

    fun sell(name: String, count: Int = 1): Double {
        val item = items[name] ?: throw IllegalArgumentException("no $name")
        sold.add(name)
        var total = item.price * count
        if (count > 10) {
            total *= 0.9
        }
        return max(total, 0.0)
    }

    fun report(): String {
        val text = StringBuilder()
        for (name in sold) {
            text.append("${name.trim()}: ").append('\n')
        }
        while (text.isNotEmpty()) {
            break
        }
        return text.toString()
    }
}

fun main() {
    val store = Store(listOf(Item("apple", 0.5), Item("bread", 2.2)))
    println(store.sell("apple", 3))
    File("report.txt").writeText(store.report())
}
