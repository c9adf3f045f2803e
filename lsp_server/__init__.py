"""fimble: a language server that completes code with a GGUF model in its own process."""

__version__ = "0.1.0"
