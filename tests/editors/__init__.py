"""Tests in the real editors: Neovim 0.11 always, the others with `--editors` and where they are installed."""
