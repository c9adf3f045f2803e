"""The model thread: its queue, its KV cache, and the loop that decodes. Knows tokens, not editors."""
