"""Next edits that are computed from the last edits, without a model: one module for each kind, and `propose`."""
