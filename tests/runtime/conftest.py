"""Fakes that several tests share. They come as fixtures because pytest imports tests without a package path."""

import contextlib
import zlib
from collections.abc import Callable, Iterable, Iterator, Sequence
from pathlib import Path

import numpy as np
import pytest
from tokenizers import AddedToken, Tokenizer, decoders, models, pre_tokenizers

from edgedraft.runtime.errors import EdgedraftError

Choose = Callable[[tuple[int, ...]], int]


class ScriptedModel:
    """A `LanguageModel` whose next token is ``choose(everything read)``; its logit is the number of tokens read.

    Like a session, it overwrites the logits it returned before: here with NaN.
    """

    def __init__(
        self, choose: Choose, vocab_size: int, context_length: int = 64, on_read: Callable[[], object] = lambda: None
    ) -> None:
        self.choose, self.vocab_size, self.context_length, self.on_read = choose, vocab_size, context_length, on_read
        self.tokens: list[int] = []
        self.contexts: list[tuple[int, ...]] = []  # everything in memory after each read
        self._logits = np.zeros((0, vocab_size), dtype=np.float32)

    @property
    def length(self) -> int:
        return len(self.tokens)

    def read(self, token_ids: Sequence[int]) -> np.ndarray:
        if len(token_ids) == 0 or self.length + len(token_ids) > self.context_length:
            raise EdgedraftError(f"the context holds {self.context_length} tokens", got=self.length + len(token_ids))
        self.on_read()
        self._logits.fill(np.nan)
        self._logits = np.zeros((len(token_ids), self.vocab_size), dtype=np.float32)
        for row, token_id in zip(self._logits, token_ids, strict=True):
            self.tokens.append(token_id)
            row[self.choose(tuple(self.tokens))] = self.length
        self.contexts.append(tuple(self.tokens))
        return self._logits

    def rewind(self, length: int) -> None:
        if not 0 <= length <= self.length:
            raise EdgedraftError(f"cannot rewind to {length}: only {self.length} tokens were read")
        del self.tokens[length:]


@pytest.fixture(scope="session")
def scripted() -> type[ScriptedModel]:
    return ScriptedModel


@pytest.fixture(scope="session")
def by_table() -> Callable[[Sequence[int]], Choose]:
    """Next token = table[last token]."""
    return lambda table: lambda context: table[context[-1] % len(table)]


@pytest.fixture(scope="session")
def by_hash() -> Callable[[int, int], Choose]:
    """Next token = a hash of everything read, below ``size``; ``salt`` tells models apart."""
    return lambda salt, size: lambda context: zlib.crc32(bytes([salt, *context])) % size


def build_tokenizer(merges: Iterable[str] = (), special: Sequence[str] = ("<|end|>",)) -> Tokenizer:
    """A real byte-level BPE tokenizer: one token per byte, one per text in ``merges``, then the special tokens."""
    alphabet = sorted(pre_tokenizers.ByteLevel.alphabet())
    vocab = {character: number for number, character in enumerate(alphabet)}
    pairs = []
    for text in merges:
        for size in range(1, len(text)):
            if text[: size + 1] not in vocab:
                vocab[text[: size + 1]] = len(vocab)
                pairs.append((text[:size], text[size]))
    tokenizer = Tokenizer(models.BPE(vocab=vocab, merges=pairs))
    tokenizer.pre_tokenizer = pre_tokenizers.ByteLevel(add_prefix_space=False, use_regex=False)
    tokenizer.decoder = decoders.ByteLevel()
    tokenizer.add_special_tokens([AddedToken(text, special=True) for text in special])
    return tokenizer


@pytest.fixture(scope="session")
def byte_tokenizer() -> Callable[..., Tokenizer]:
    return build_tokenizer


@pytest.fixture
def tokenizer_folder(tmp_path: Path) -> Callable[..., Path]:
    """Write a tokenizer.json (and more files) into a new folder and return the folder."""

    def write(name: str = "model", files: dict[str, str] | None = None, **options: Sequence[str]) -> Path:
        folder = tmp_path / name
        folder.mkdir()
        build_tokenizer(**options).save(str(folder / "tokenizer.json"))
        for file, text in (files or {}).items():
            (folder / file).write_text(text, encoding="utf-8")
        return folder

    return write


@pytest.fixture(scope="session")
def raises_exactly() -> Callable[[str], contextlib.AbstractContextManager[None]]:
    """Expect an `EdgedraftError` whose whole text is the one given."""

    @contextlib.contextmanager
    def expect(message: str) -> Iterator[None]:
        with pytest.raises(EdgedraftError) as caught:
            yield
        assert str(caught.value) == message

    return expect
