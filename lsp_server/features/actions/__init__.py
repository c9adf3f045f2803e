"""Code actions: which ones are offered at a place, what the model is asked, and how its answer becomes a safe edit."""
