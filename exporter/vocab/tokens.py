"""Tokenization: what the evaluation of a token map needs to know of a model's tokens."""

from dataclasses import dataclass

from edgedraft.runtime.text.codec import TextCodec


@dataclass(frozen=True, kw_only=True, slots=True)
class Tokenization:
    """A model's tokenizer and the two numbers that counting its tokens needs."""

    codec: TextCodec
    end_token_ids: tuple[int, ...]
    vocab_size: int
