"""Fills holes and scores the answers: sources of holes, completers, and scores."""
