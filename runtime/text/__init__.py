"""Text in and out: tokenizer, chat template, conversations, streamed text."""
