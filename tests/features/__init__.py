"""Tests of the features, with the scripted backend."""
