"""What a server tells of itself while it runs: the last requests, and where their time went."""
