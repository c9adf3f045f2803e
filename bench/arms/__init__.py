"""The arms that benches compare: the engine, bare llama.cpp calls, llama-server, tabby-agent, requests of clients."""
