"""Tests of the pure part: text, formats, prompts, shaping."""
