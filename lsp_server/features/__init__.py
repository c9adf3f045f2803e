"""What fimble does for a document: a snapshot and an offset in, a suggestion out. Knows no protocol."""
