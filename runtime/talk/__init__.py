"""A conversation in the terminal, without the terminal: what is typed, what it does, what is kept."""
