"""What a running server tells `fimble status`: its state and its last requests, over a Unix socket."""
