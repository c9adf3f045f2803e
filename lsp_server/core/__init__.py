"""The pure part of fimble: text, languages, prompts. No I/O, clock, threads or event loop in here."""
