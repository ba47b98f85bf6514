"""Text in and out: the tokenizer, and decoding a stream of ids into whole characters."""

from collections.abc import Iterable, Sequence
from functools import cached_property
from pathlib import Path

import numpy as np
from tokenizers import Regex, Tokenizer, pre_tokenizers

from edgedraft.runtime.base.arrays import Ids
from edgedraft.runtime.base.records import require
from edgedraft.runtime.base.tokenizer_files import tokenizer_fingerprint
from edgedraft.runtime.text.chat_template import Message, read_chat_template

_PIECES, _BETWEEN = 1024, "\n"


def matching_parts(pattern: str, text: str) -> list[str]:
    """The parts of ``text`` that match, by the regular expressions that tokenizers themselves use."""
    split = pre_tokenizers.Split(Regex(pattern), "removed", invert=True)
    return [part for part, _ in split.pre_tokenize_str(text)]


class TextCodec:
    """The tokenizer and chat template of one model folder.

    Who knows the tokenizer's ``fingerprint`` already spares making it again.
    """

    def __init__(self, folder: Path, fingerprint: str = "") -> None:
        path = folder / "tokenizer.json"
        require(path.is_file(), f"{path}: no such file", remedy="the folder must hold the model's tokenizer")
        self._path = path
        self.tokenizer = Tokenizer.from_file(str(path))
        self.tokenizer.no_truncation()
        self.tokenizer.no_padding()
        self.chat = read_chat_template(folder)
        self._fingerprint = fingerprint

    @property
    def folder(self) -> Path:
        """Where the codec was read from."""
        return self._path.parent

    @cached_property
    def fingerprint(self) -> str:
        """See `tokenizer_fingerprint`."""
        return self._fingerprint or tokenizer_fingerprint(self._path)

    @cached_property
    def chat_fingerprint(self) -> str:
        """See `ChatTemplate.fingerprint`."""
        return self.chat.fingerprint

    @property
    def has_template(self) -> bool:
        """Whether conversations have a format of their own."""
        return self.chat.source is not None

    def encode(self, text: str) -> list[int]:
        """Token ids of ``text`` as it stands; special tokens written in it count as such."""
        return list(self.tokenizer.encode(text, add_special_tokens=False).ids)

    def encode_batch(self, texts: Sequence[str]) -> list[list[int]]:
        """`encode` of every text, on all cores."""
        return [found.ids for found in self.tokenizer.encode_batch_fast(list(texts), add_special_tokens=False)]

    def encode_pieces(self, pieces: Sequence[str]) -> tuple[Ids, Ids]:
        """What the model alone makes of pieces of text, which are neither normalized nor split, on all cores.

        The ids one behind the other, and how many each piece has, both int64. No piece may hold a line feed.
        """
        batches = [pieces[start : start + _PIECES] for start in range(0, len(pieces), _PIECES)]
        encoded = self._by_model.encode_batch([_BETWEEN.join(batch) for batch in batches])
        ids = [np.asarray(found.ids, dtype=np.int64) for found in encoded]
        lengths = [
            np.bincount(np.asarray(found.word_ids, dtype=np.int64), minlength=len(batch))
            for found, batch in zip(encoded, batches, strict=True)
        ]
        nothing = np.zeros(0, dtype=np.int64)
        return np.concatenate([nothing, *ids]), np.concatenate([nothing, *lengths])

    @cached_property
    def _by_model(self) -> Tokenizer:
        found = Tokenizer(self.tokenizer.model)
        found.pre_tokenizer = pre_tokenizers.Split(_BETWEEN, "removed")
        return found

    def encode_with_bounds(self, texts: Sequence[str]) -> list[tuple[list[int], list[tuple[int, int]]]]:
        """Ids of every text and, for each id, where its characters begin and end."""
        found = self.tokenizer.encode_batch(list(texts), add_special_tokens=False)
        return [(each.ids, each.offsets) for each in found]

    def decode(self, token_ids: Iterable[int]) -> str:
        """Text of ``token_ids`` without special tokens."""
        return str(self.tokenizer.decode(list(token_ids), skip_special_tokens=True))

    def encode_chat(self, messages: Sequence[Message], tools: Sequence[Message] = ()) -> list[int]:
        """Token ids of a conversation that the assistant is to continue."""
        return self.encode(self.render_chat(messages, tools))

    def render_chat(self, messages: Sequence[Message], tools: Sequence[Message] = (), *, answer: bool = True) -> str:
        """The conversation in the model's own chat format: see `ChatTemplate.render`."""
        return self.chat.render(messages, tools, answer=answer)
