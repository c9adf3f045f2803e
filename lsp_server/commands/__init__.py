"""The commands of a person at a terminal, beside `complete`: models, doctor, init."""
