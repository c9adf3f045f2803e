"""Editing sessions: recorded ones and typed files, when their keys come, and the editor that types them."""
