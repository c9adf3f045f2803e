"""The model thread: its queue, its KV cache and its decoding loop. It handles tokens and knows nothing of editors."""
