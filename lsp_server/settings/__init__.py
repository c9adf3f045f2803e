"""Settings: every one as data, where they come from, how they are read within bounds, and what a workspace may set."""
