"""Completions for editors that ask over HTTP, from the same engine and with the same reuse as over LSP."""
