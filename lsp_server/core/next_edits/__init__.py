"""Next edits: the change that the user is likely to make next. Computed from the last edits, or by a model."""
