"""Counts how fimble is used, for its user only: no text, no names of files, and nothing is sent anywhere."""
