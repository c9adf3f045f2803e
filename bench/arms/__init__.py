"""What benches compare: the engine, bare llama.cpp calls, llama-server, tabby-agent and the requests of clients."""
