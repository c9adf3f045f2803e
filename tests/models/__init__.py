"""Tests of what is known about models before they are loaded, and of the commands that manage them."""
