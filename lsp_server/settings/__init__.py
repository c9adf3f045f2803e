"""Files of settings: read within bounds, and what those of a workspace, which anybody may have written, may set."""
