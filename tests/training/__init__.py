"""Tests of `bench/training`."""
