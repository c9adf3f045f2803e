"""Tests of the engine: scheduler, prefix cache, and the loop around them, on a virtual clock."""
