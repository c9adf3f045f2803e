"""The pure part of fimble: text, languages, prompts. Code here does no I/O and uses no clock, threads or event loop."""
