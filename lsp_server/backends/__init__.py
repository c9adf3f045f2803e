"""What can run a model. The engine sees only `base`; `llama` and `scripted` implement it."""
