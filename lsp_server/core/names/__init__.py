"""Names in code: which may stand at a place, and which of a text are defined nowhere."""
