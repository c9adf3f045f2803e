"""Small data sets in the formats of the large ones, and files in several languages to cut holes from."""

from __future__ import annotations

import gzip
import json
from pathlib import Path
from typing import Any

HUMANEVAL_ROWS = [
    {
        "task_id": f"SingleLineInfilling/HumanEval/{number}/L0",
        "entry_point": "plus",
        "prompt": 'def plus(value):\n    """Adds."""\n',
        "canonical_solution": f"    return value + {number}\n",
        "suffix": "",
        "test": f"def check(candidate):\n    assert candidate(1) == {number + 1}\n",
    }
    for number in range(4)
]
SAFIM_ROWS = [
    {
        "task_id": "block_completion_000001",
        "eval_prompt": "number = int(input())\r\nif number:\r\n    {{completion}}\r\n",
        "ground_truth": "print(number + 1)",
        "unit_tests": [{"input": "4", "output": ["5"]}],
    }
]

SOURCES = {
    "a.py": 'def area(width, height):\n    """Docs."""\n    total = width * height\n    return show(total, 2)\n',
    "a.js": "function area(width, height) {\n  const total = width * height;\n  return show(total, 2);\n}\n",
    "a.ts": "export function area(width: number): number {\n  const total = width * 2;\n  return show(total, 2);\n}\n",
    "A.java": "class A {\n  int area(int width) {\n    int total = width * 2;\n    return show(total, 2);\n  }\n}\n",
    "a.c": "int area(int width) {\n  int total = width * 2;\n  return show(total, 2);\n}\n",
    "a.go": "package a\n\nfunc area(width int) int {\n\ttotal := width * 2\n\treturn show(total, 2)\n}\n",
    "a.rs": "fn area(width: i32) -> i32 {\n    let total = width * 2;\n    return show(total, 2);\n}\n",
}


def write_rows(path: Path, rows: list[dict[str, Any]]) -> None:
    path.write_bytes(gzip.compress("".join(json.dumps(row) + "\n" for row in rows).encode()))
