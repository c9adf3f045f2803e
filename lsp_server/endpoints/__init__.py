"""Models that other programs serve: an engine's home that speaks HTTP. Imported where the user names an endpoint."""
