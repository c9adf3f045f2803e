"""Makes fimble's own starter models: corpus, tokenizer, training, export, checks and model cards."""
