"""Models of other servers: an engine home that speaks HTTP. Imported only if the user has named an endpoint."""
