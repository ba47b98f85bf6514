"""Judge whether the prompts at hand are enough, and how many more would be."""
