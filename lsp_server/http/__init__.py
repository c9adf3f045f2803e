"""Completions for editors that ask over HTTP, from the same engine and with the same KV cache reuse as over LSP."""
