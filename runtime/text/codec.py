"""Turn text and conversations into token ids and back, with the tokenizer and chat template of a model folder."""

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path

import numpy as np
from tokenizers import Regex, Tokenizer, pre_tokenizers

from edgedraft.runtime.base.arrays import Ids
from edgedraft.runtime.base.errors import EdgedraftError
from edgedraft.runtime.base.files import MOST_JSON_BYTES
from edgedraft.runtime.base.plain_files import holds_file, require_plain_file
from edgedraft.runtime.base.records import require
from edgedraft.runtime.base.tokenizer_files import encoding_fingerprint, tokenizer_fingerprint
from edgedraft.runtime.text.characters import well_formed
from edgedraft.runtime.text.chat_template import read_chat_template
from edgedraft.runtime.text.hidden import require_shown
from edgedraft.runtime.text.messages import Message
from edgedraft.runtime.text.special_tokens import SpecialTokens, read_special_tokens
from edgedraft.runtime.text.template_budget import new_budget
from edgedraft.runtime.text.tokenizer_limits import library_errors, require_bounded

_CANNOT_ENCODE = "cannot encode this text"
# encode_pieces joins many pieces into one text, since each call of the tokenizer has a cost of its own.
_PIECES_PER_TEXT, _SEPARATOR = 1024, "\n"


def matching_parts(pattern: str, text: str) -> list[str]:
    """Return the parts of ``text`` that match ``pattern``, a regular expression of the tokenizers library."""
    split = pre_tokenizers.Split(Regex(pattern), "removed", invert=True)
    return [part for part, _ in split.pre_tokenize_str(text)]


class TextCodec:
    """The tokenizer and chat template of one model folder.

    ``fingerprint`` is the tokenizer's, if the caller knows it: computing it reads the whole vocabulary.
    """

    def __init__(self, folder: Path, fingerprint: str = "") -> None:
        path = folder / "tokenizer.json"
        require(holds_file(path), f"{path}: no such file", remedy="the folder must hold the model's tokenizer")
        self._path = path
        self.tokenizer = _opened(path)
        # A tokenizer file may ask for truncation or padding, which models want in training only.
        self.tokenizer.no_truncation()
        self.tokenizer.no_padding()
        self.chat = read_chat_template(folder)
        self._fingerprint = fingerprint

    @property
    def folder(self) -> Path:
        """The model folder."""
        return self._path.parent

    @cached_property
    def fingerprint(self) -> str:
        """Return the tokenizer's fingerprint: the SHA-256 of what its ids mean (`tokenizer_fingerprint`)."""
        return self._fingerprint or tokenizer_fingerprint(self._path)

    @cached_property
    def encoding_fingerprint(self) -> str:
        """Return the SHA-256 of all that decides token ids (`encoding_fingerprint`)."""
        return encoding_fingerprint(self._path)

    def has_fingerprint(self, fingerprint: str) -> bool:
        """Return whether ``fingerprint`` is the tokenizer's, also as older versions took it."""
        return fingerprint == self.fingerprint or fingerprint == self.encoding_fingerprint

    @cached_property
    def chat_fingerprint(self) -> str:
        """Return the SHA-256 of everything that decides how a conversation is rendered."""
        return self.chat.fingerprint

    @property
    def has_template(self) -> bool:
        """True where the model has a chat format of its own."""
        return self.chat.source is not None

    @cached_property
    def special(self) -> SpecialTokens:
        """Return the special tokens that the tokenizer adds to a text, and its byte tokens."""
        with library_errors(self._path, _CANNOT_ENCODE):
            return read_special_tokens(self.folder, self.tokenizer)

    def encode(self, text: str) -> list[int]:
        """Return the token ids of ``text``; special tokens in it are recognised, and none are added.

        Invalid characters, such as a lone surrogate, are encoded as a replacement character.
        """
        with library_errors(self._path, _CANNOT_ENCODE):
            return list(self.tokenizer.encode(well_formed(text), add_special_tokens=False).ids)

    def encode_prompt(self, text: str) -> list[int]:
        """Return the token ids of a text without a chat template, with the tokenizer's own special tokens.

        Tokens that are at its start or end already are not added again.
        """
        return self.special.around(self.encode(text))

    def encode_batch(self, texts: Sequence[str]) -> list[list[int]]:
        """Encode every text as `encode` does, on all cores."""
        with library_errors(self._path, _CANNOT_ENCODE):
            encoded = self.tokenizer.encode_batch_fast([well_formed(text) for text in texts], add_special_tokens=False)
        return [encoding.ids for encoding in encoded]

    def encode_pieces(self, pieces: Sequence[str]) -> tuple[Ids, Ids]:
        """Encode pieces of text with the tokenizer's model alone, without normalizing or splitting, on all cores.

        Returns the ids of all pieces in one array, and the number of ids of each piece, both int64. No piece may hold a
        line feed.
        """
        batches = [pieces[start : start + _PIECES_PER_TEXT] for start in range(0, len(pieces), _PIECES_PER_TEXT)]
        encoded = self._by_model.encode_batch([_SEPARATOR.join(batch) for batch in batches])
        ids = [np.asarray(encoding.ids, dtype=np.int64) for encoding in encoded]
        # A token's word_id is the number of its piece, since the only pre-tokenizer splits at the separator.
        lengths = [
            np.bincount(np.asarray(encoding.word_ids, dtype=np.int64), minlength=len(batch))
            for encoding, batch in zip(encoded, batches, strict=True)
        ]
        empty = np.zeros(0, dtype=np.int64)  # numpy cannot concatenate no arrays
        return np.concatenate([empty, *ids]), np.concatenate([empty, *lengths])

    @cached_property
    def _by_model(self) -> Tokenizer:
        tokenizer = Tokenizer(self.tokenizer.model)
        tokenizer.pre_tokenizer = pre_tokenizers.Split(_SEPARATOR, "removed")
        return tokenizer

    def encode_with_bounds(self, texts: Sequence[str]) -> list[tuple[list[int], list[tuple[int, int]]]]:
        """Return the ids of every text and, for each id, the start and end of its characters in the text."""
        encoded = self.tokenizer.encode_batch([well_formed(text) for text in texts], add_special_tokens=False)
        return [(encoding.ids, encoding.offsets) for encoding in encoded]

    def decode(self, token_ids: Iterable[int]) -> str:
        """Return the text of ``token_ids`` without special tokens."""
        with library_errors(self._path, "cannot write these tokens as text"):
            return str(self.tokenizer.decode(list(token_ids), skip_special_tokens=True))

    def encode_chat(self, messages: Sequence[Message], tools: Sequence[Message] = ()) -> list[int]:
        """Return the token ids of a conversation that the assistant is to continue.

        Raises `EdgedraftError` where the chat template leaves out a message, a call or the tools.
        """
        with new_budget():
            require_shown(self.render_chat, messages, tools)
            rendered = self.render_chat(messages, tools)
        return self.encode(rendered) if self.has_template else self.encode_prompt(rendered)

    def render_chat(self, messages: Sequence[Message], tools: Sequence[Message] = (), *, answer: bool = True) -> str:
        """Render a conversation in the model's own chat format: see `ChatTemplate.render`."""
        return self.chat.render(messages, tools, answer=answer)


def _opened(path: Path) -> Tokenizer:
    """Open a tokenizer file; one that is broken or not bounded raises an `EdgedraftError` that names it."""
    require_plain_file(path, MOST_JSON_BYTES)
    with library_errors(path, "not a tokenizer"):
        opened = Tokenizer.from_file(str(path))
        require_bounded(path, opened)
    return opened


@dataclass(frozen=True, kw_only=True, slots=True)
class FittedPrompt:
    """The token ids of a conversation, and how many of its messages were left out to make it fit."""

    token_ids: tuple[int, ...]
    dropped_messages: int


def fit_conversation(
    codec: TextCodec, messages: Sequence[Message], max_tokens: int, tools: Sequence[Message] = ()
) -> FittedPrompt:
    """Encode the conversation in at most ``max_tokens`` tokens, leaving out the oldest messages first.

    System messages stay. What is left begins with a user's message, as chat templates expect. Raises `EdgedraftError`
    when not even the last message of the user fits.
    """
    token_ids: list[int] = []
    # Try the whole conversation, then the rest from each later message of the user on.
    for start in [0, *(place for place, message in enumerate(messages) if place and message.get("role") == "user")]:
        kept = [each for place, each in enumerate(messages) if place >= start or each.get("role") == "system"]
        token_ids = codec.encode_chat(kept, tools)
        if len(token_ids) <= max_tokens:
            return FittedPrompt(token_ids=tuple(token_ids), dropped_messages=len(messages) - len(kept))
    remedy = "shorten it or open the bundle with a larger context"
    raise EdgedraftError(f"the last message must fit into {max_tokens} tokens", got=len(token_ids), remedy=remedy)
