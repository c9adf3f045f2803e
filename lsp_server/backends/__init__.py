"""The programs that run a model. The engine imports only `base`; `llama` and `scripted` implement its interface."""
