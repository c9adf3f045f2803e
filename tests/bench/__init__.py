"""Tests of the benches: their counters and what they read, never their clocks."""
