"""Answers of models to prompts: our own runtime's or a server's, journalled."""
