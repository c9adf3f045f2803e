"""Next edits of a model: the prompts that each family of models expects, and how its answers are read. Pure."""
