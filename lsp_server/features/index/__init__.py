"""The index of a workspace: what its files define, kept in the user's cache folder, and what is asked of it."""
