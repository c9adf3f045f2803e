"""Tests of the counts: what becomes of suggestions, how it is kept, and what is reckoned from it."""
