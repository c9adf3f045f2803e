"""What a first suggestion needs is imported before anybody asks for one."""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path

ROOT = Path(__file__).parents[2]

SCRIPT = """
import json, sys
from dataclasses import replace
import anyio
from tests.features.harness import PATIENT, SOURCE, Bench

async def main():
    bench = Bench(None, [])
    bench.options = replace(PATIENT, check_names=True, limit_names=True)
    bench.client.start()
    await bench.ready()
    await bench.completer.preload()
    before = set(sys.modules)
    outcome = await bench.complete(SOURCE)
    assert outcome.suggestion is not None
    print(json.dumps(sorted(set(sys.modules) - before)))
    await bench.client.stop()
    bench.completer.close()

anyio.run(main)
"""


def test_of_our_modules_a_first_suggestion_imports_the_rules_of_its_language_alone() -> None:
    done = subprocess.run([sys.executable, "-c", SCRIPT], cwd=ROOT, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
    imported = [name for name in json.loads(done.stdout) if name.startswith(("lsp_server", "pyflakes"))]
    assert imported == ["lsp_server.core.danger.rules_python"]
