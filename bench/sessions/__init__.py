"""Editing sessions: recordings and typed files, the times of their keys, and the editor that types them."""
