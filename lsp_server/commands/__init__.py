"""The commands of a person at a terminal: complete, action, models, doctor, init, trust, cache."""
