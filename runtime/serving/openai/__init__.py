"""A server that speaks OpenAI's protocol: requests, slots and their queue, answers, streams and counts."""
