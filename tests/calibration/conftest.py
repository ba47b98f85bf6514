"""What the calibration's tests share: a model whose logits follow a script, and a codec without a tokenizer."""

from collections.abc import Callable, Sequence

import numpy as np
import pytest

VOCAB = 16

Script = Callable[[tuple[int, ...]], np.ndarray]


class ScriptedModel:
    """A `LanguageModel`: the logits after a context are ``script(context)``, so every context can have its own."""

    def __init__(self, script: Script, context_length: int = 200) -> None:
        self._script = script
        self._memory: list[int] = []
        self.context_length = context_length
        self.tokens_read = 0

    @property
    def token_ids(self) -> list[int]:
        return self._memory

    @property
    def length(self) -> int:
        return len(self._memory)

    def read(self, token_ids: Sequence[int]) -> np.ndarray:
        assert len(token_ids) > 0
        rows = []
        for token in token_ids:
            self._memory.append(int(token))
            rows.append(self._script(tuple(self._memory)))
        assert self.length <= self.context_length
        self.tokens_read += len(token_ids)
        return np.stack(rows).astype(np.float32)

    def rewind(self, length: int) -> None:
        assert 0 <= length <= self.length
        del self._memory[length:]


class LetterCodec:
    """A codec whose tokens are letters: "a" is 0, "b" is 1, …"""

    fingerprint = "letters"

    def encode_chat(self, messages) -> list[int]:
        return [ord(letter) - ord("a") for message in messages for letter in message["content"]]


def random_script(seed: int) -> Script:
    """Logits drawn anew for every context; small whole numbers, so that ties are common."""
    return lambda context: np.random.default_rng([seed, len(context), *context]).integers(0, 8, VOCAB)


@pytest.fixture(scope="session")
def vocab_size() -> int:
    return VOCAB


@pytest.fixture(scope="session")
def scripted():
    """``scripted(seed)`` is a new model; the same seed always says the same."""
    return lambda seed, **options: ScriptedModel(random_script(seed), **options)


@pytest.fixture(scope="session")
def script():
    return random_script


@pytest.fixture
def codec() -> LetterCodec:
    return LetterCodec()
