"""Holes that are filled and scored: where they come from, who fills them, and what counts as right."""
