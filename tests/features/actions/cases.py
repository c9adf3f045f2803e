"""Functions of five languages with an answer that a good model gives, and the ways in which answers are damaged."""

from __future__ import annotations

import textwrap
from collections.abc import Callable
from dataclasses import dataclass

from lsp_server.core.document import DocumentSnapshot


@dataclass(frozen=True)
class Case:
    """old: the function as it stands in `source`, at the left margin; new: as it should be afterwards."""

    id: str
    language: str
    path: str
    source: str
    old: str
    new: str
    indent: str = ""

    def document(self) -> tuple[DocumentSnapshot, int]:
        """The document and an offset inside the function."""
        source = self.source.replace("@@", textwrap.indent(self.old, self.indent)[len(self.indent) :]).encode()
        uri = f"file:///w/{self.path}"
        document = DocumentSnapshot.of(uri, source, path=self.path, language_id=self.language, version=1)
        return document, source.index(self.old.split("\n")[0].encode()) + 2

    def expected(self) -> str:
        return self.source.replace("@@", textwrap.indent(self.new, self.indent)[len(self.indent) :])


def _case(id: str, language: str, path: str, source: str, old: str, new: str, indent: str = "") -> Case:
    old, new = (textwrap.dedent(text).strip("\n") for text in (old, new))
    return Case(id, language, path, textwrap.dedent(source).lstrip("\n"), old, new, indent)


CASES = [
    _case(
        "python_function",
        "python",
        "shop.py",
        '''
        """A shop."""
        import math

        RATE = 0.19


        @@


        def other(value):
            return total([value])
        ''',
        """
        def total(prices, tax=RATE):
            result = 0
            for price in prices:
                result = result + price * (1 + tax)
            return math.floor(result)
        """,
        """
        def total(prices, tax=RATE):
            return math.floor(sum(price * (1 + tax) for price in prices))
        """,
    ),
    _case(
        "python_method",
        "python",
        "stack.py",
        """
        class Stack:
            def __init__(self):
                self.items = []

            @@

            def push(self, item):
                self.items.append(item)
        """,
        """
        def pop(self):
            if len(self.items) == 0:
                return None
            else:
                item = self.items[-1]
                del self.items[-1]
                return item
        """,
        """
        def pop(self):
            if not self.items:
                return None
            return self.items.pop()
        """,
        "    ",
    ),
    _case(
        "typescript_function",
        "typescript",
        "shop.ts",
        """
        import { floor } from "./numbers";

        @@

        export const other = (value: number) => total([value]);
        """,
        """
        export function total(prices: number[], tax = 0.19): number {
          let result = 0;
          for (const price of prices) {
            result = result + price * (1 + tax);
          }
          return floor(result);
        }
        """,
        """
        export function total(prices: number[], tax = 0.19): number {
          return floor(prices.reduce((sum, price) => sum + price * (1 + tax), 0));
        }
        """,
    ),
    _case(
        "typescript_method",
        "typescript",
        "stack.ts",
        """
        export class Stack<T> {
          private items: T[] = [];

          @@

          push(item: T): void {
            this.items.push(item);
          }
        }
        """,
        """
        pop(): T | undefined {
          if (this.items.length === 0) {
            return undefined;
          } else {
            const item = this.items[this.items.length - 1];
            this.items.length = this.items.length - 1;
            return item;
          }
        }
        """,
        """
        pop(): T | undefined {
          return this.items.pop();
        }
        """,
        "  ",
    ),
    _case(
        "go_function",
        "go",
        "shop.go",
        """
        package shop

        import "math"

        @@

        func other(value float64) float64 { return Total([]float64{value}, 0) }
        """,
        """
        func Total(prices []float64, tax float64) float64 {
        \tresult := 0.0
        \tfor i := 0; i < len(prices); i++ {
        \t\tresult = result + prices[i]*(1+tax)
        \t}
        \treturn math.Floor(result)
        }
        """,
        """
        func Total(prices []float64, tax float64) float64 {
        \tresult := 0.0
        \tfor _, price := range prices {
        \t\tresult += price * (1 + tax)
        \t}
        \treturn math.Floor(result)
        }
        """,
    ),
    _case(
        "rust_function",
        "rust",
        "shop.rs",
        """
        const RATE: f64 = 0.19;

        @@

        fn other(value: f64) -> f64 {
            total(&[value])
        }
        """,
        """
        pub fn total(prices: &[f64]) -> f64 {
            let mut result = 0.0;
            for i in 0..prices.len() {
                result = result + prices[i] * (1.0 + RATE);
            }
            return result.floor();
        }
        """,
        """
        pub fn total(prices: &[f64]) -> f64 {
            prices.iter().map(|price| price * (1.0 + RATE)).sum::<f64>().floor()
        }
        """,
    ),
    _case(
        "rust_method",
        "rust",
        "stack.rs",
        """
        pub struct Stack {
            items: Vec<i32>,
        }

        impl Stack {
            @@

            pub fn push(&mut self, item: i32) {
                self.items.push(item);
            }
        }
        """,
        """
        pub fn top(&self) -> Option<&i32> {
            if self.items.len() == 0 {
                return None;
            } else {
                return Some(&self.items[self.items.len() - 1]);
            }
        }
        """,
        """
        pub fn top(&self) -> Option<&i32> {
            self.items.last()
        }
        """,
        "    ",
    ),
    _case(
        "java_method",
        "java",
        "Shop.java",
        """
        package shop;

        public class Shop {
            private static final double RATE = 0.19;

            @@

            static double other(double value) {
                return total(new double[] {value});
            }
        }
        """,
        """
        public static double total(double[] prices) {
            double result = 0;
            for (int i = 0; i < prices.length; i++) {
                result = result + prices[i] * (1 + RATE);
            }
            return Math.floor(result);
        }
        """,
        """
        public static double total(double[] prices) {
            double result = 0;
            for (double price : prices) {
                result += price * (1 + RATE);
            }
            return Math.floor(result);
        }
        """,
        "    ",
    ),
]


def _indented(case: Case) -> str:
    """The first line at the margin, the others eight deeper, as when a model copies a nested range."""
    first, *rest = case.new.split("\n")
    return "\n".join([first, *(" " * 8 + line for line in rest)])


def _respaced(case: Case) -> str:
    """With another step of indentation than the document's."""
    lines = case.new.expandtabs(4).split("\n")
    step = 2 if case.language == "typescript" else 4
    levels = [(len(line) - len(line.lstrip())) // step for line in lines]
    unit = 4 if step == 2 else 3
    return "\n".join(" " * unit * level + line.lstrip() for level, line in zip(levels, lines, strict=True))


def _fenced(text: str, language: str = "") -> str:
    return f"```{language}\n{text}\n```"


WRAPPINGS: dict[str, Callable[[Case], str]] = {
    "bare": lambda case: case.new,
    "fence": lambda case: _fenced(case.new, case.language),
    "prose_around": lambda case: (
        f"Sure! Here is the simplified version of the function:\n\n{_fenced(case.new)}\n\n"
        "This version is shorter because it uses what the language brings. I hope this helps!"
    ),
    "prose_without_fence": lambda case: (
        f"Here is the simplified code:\n\n{case.new}\n\nThe loop has been replaced by a shorter form."
    ),
    "opening_fence_only": lambda case: f"Here you go:\n\n```{case.language}\n{case.new}",
    "closing_fence_only": lambda case: f"{case.new}\n```\n\nThis does the same as before.",
    "too_deep": lambda case: _fenced(textwrap.indent(case.new, "            ")),
    "first_line_shallow": lambda case: _fenced(_indented(case)),
    "other_step": lambda case: _fenced(_respaced(case)),
    "repeated_signature": lambda case: _fenced(case.new.split("\n")[0] + "\n" + case.new),
    "old_then_new": lambda case: f"Before:\n{_fenced(case.old)}\nAfter:\n{_fenced(case.new)}",
    "thinking": lambda case: f"<think>\nThe user wants {case.old}\nto be shorter.\n</think>\n\n{_fenced(case.new)}",
    "crlf_and_trailing_space": lambda case: _fenced(case.new.replace("\n", "  \r\n")),
    "line_numbers": lambda case: _fenced("\n".join(f"{i:3}| {line}" for i, line in enumerate(case.new.split("\n"), 1))),
    "whole_file": lambda case: _fenced(case.expected()),
}
