"""The index of a workspace: the definitions in its files, kept in the user's cache folder, and queries to it."""
