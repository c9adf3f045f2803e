"""Code actions: what is offered where, what the model is asked, and how its answer becomes an edit to trust."""
