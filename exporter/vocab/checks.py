"""Checking a token map against a target's tokenizer: vocabulary sizes, special tokens, the ids that end a turn."""

from dataclasses import dataclass

import numpy as np

from edgedraft.exporter.vocab.tokens import Tokenization
from edgedraft.exporter.vocab.vocab_map import VocabMap


@dataclass(frozen=True, kw_only=True, slots=True)
class TokenizerCheck:
    """Counts of the target's tokens that a map keeps; ``nameless``: kept ids that are no tokens (padding)."""

    target_vocab_size: int
    tokens: int
    end_token_ids: tuple[int, ...]
    missing_end_token_ids: tuple[int, ...]
    special_tokens: int
    special_tokens_kept: int
    nameless: int
    problems: tuple[str, ...]


def check_tokenizer(vocab_map: VocabMap, tokens: Tokenization) -> TokenizerCheck:
    """Count what the map keeps of the target's tokens, and list the problems."""
    tokenizer = tokens.codec.tokenizer
    special = [each for each, token in tokenizer.get_added_tokens_decoder().items() if token.special]
    missing = vocab_map.missing(tokens.end_token_ids)
    known = np.fromiter(tokenizer.get_vocab(with_added_tokens=True).values(), dtype=np.int64)
    nameless = int((~np.isin(vocab_map.target_ids, known)).sum())
    return TokenizerCheck(
        target_vocab_size=tokens.vocab_size,
        tokens=len(known),
        end_token_ids=tokens.end_token_ids,
        missing_end_token_ids=missing,
        special_tokens=len(special),
        special_tokens_kept=int(np.isin(special, vocab_map.target_ids).sum()),
        nameless=nameless,
        problems=tuple(_problems(vocab_map, tokens, missing, nameless)),
    )


def _problems(vocab_map: VocabMap, tokens: Tokenization, missing: tuple[int, ...], nameless: int) -> list[str]:
    problems = []
    if vocab_map.target_vocab_size not in (None, tokens.vocab_size):
        problems.append(f"it was made for {vocab_map.target_vocab_size} tokens; this target knows {tokens.vocab_size}")
    highest = int(vocab_map.target_ids.max())
    if highest >= tokens.vocab_size:
        problems.append(f"its id {highest} lies outside this target's 0..{tokens.vocab_size - 1}")
    if missing:
        names = ", ".join(f"{each} ({tokens.codec.tokenizer.id_to_token(each)})" for each in missing)
        problems.append(f"it lacks {names}, which end a turn: the drafter would never propose the end")
    if nameless:
        problems.append(f"{nameless} of its ids are no tokens of the tokenizer: rows spent on padding")
    return problems
