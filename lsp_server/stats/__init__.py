"""What fimble counts of its own use, for its user alone: no text, no names of files, nothing that is sent anywhere."""
