"""Models and machines: what a GGUF file holds, what it costs, whether it is safe, and where to get one."""
