"""The commands of a person at a terminal, one module each; modules named after no command are shared by several."""
