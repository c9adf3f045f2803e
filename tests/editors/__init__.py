"""Tests in the real editors: each skips, with a reason, when its program is not installed."""
