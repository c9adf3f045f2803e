"""The llama.cpp library in this process: what happens where it gives up."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import pytest

ABORT = """
import ctypes, pathlib
from lsp_server.backends.llama_library import load_library
load_library()
import llama_cpp
library = pathlib.Path(llama_cpp.__file__).parent / "lib/libggml-base.so"
ctypes.CDLL(str(library)).ggml_abort(b"ggml.c", 7, b"the tensor is upside down")
"""


@pytest.mark.skipif(sys.platform != "linux", reason="elsewhere llama.cpp starts no debugger")
def test_an_abort_in_llama_cpp_starts_no_debugger_and_says_why(tmp_path: Path) -> None:
    for name in ("gdb", "lldb"):
        debugger = tmp_path / name
        debugger.write_text(f"#!/bin/sh\necho {name} was started\ntouch {tmp_path}/started\n")
        debugger.chmod(0o755)
    inherited = {name: value for name, value in os.environ.items() if name != "GGML_NO_BACKTRACE"}
    env = {**inherited, "PATH": f"{tmp_path}:{inherited['PATH']}"}
    done = subprocess.run([sys.executable, "-B", "-c", ABORT], env=env, capture_output=True, text=True, check=False)
    assert done.returncode < 0
    assert "the tensor is upside down" in done.stderr
    assert "started" not in done.stdout + done.stderr
    assert not (tmp_path / "started").exists()
