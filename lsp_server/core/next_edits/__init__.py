"""Next edits that need no model: what follows from the edits that the user has just made."""
