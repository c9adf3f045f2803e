"""Measures fimble on this machine, through its real server: `python -m bench --help`."""
