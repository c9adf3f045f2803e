"""The protocol's side: the only package that imports pygls and lsprotocol."""
