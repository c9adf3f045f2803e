"""The server's side of LSP: the only package that imports pygls and lsprotocol."""
