"""Tests of the command line, run as a user would: in a process of its own."""
