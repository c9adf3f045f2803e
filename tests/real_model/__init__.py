"""Tests with models: a tiny one of random weights, written here, and the real starter model."""
