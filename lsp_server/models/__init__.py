"""Models and machines: the content of a GGUF file, its memory and speed, whether it is safe, and where to get one."""
