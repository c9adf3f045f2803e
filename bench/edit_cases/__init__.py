"""Next edits to be predicted: from scenarios, from histories of projects, and from recorded sessions."""
