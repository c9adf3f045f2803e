"""Tests of code actions."""
