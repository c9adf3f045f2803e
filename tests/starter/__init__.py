"""Tests of `models/starter`."""
