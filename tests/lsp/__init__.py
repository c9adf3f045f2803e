"""Tests of the server as an editor meets it: over stdin and stdout, in the protocol."""
