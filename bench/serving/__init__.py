"""A simulated inference server for many developers, on virtual time, and the clients that ask it."""
