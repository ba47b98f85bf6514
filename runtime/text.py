"""Text in and out: the tokenizer, the chat template, and decoding a stream of ids into whole characters."""

import hashlib
import json
from collections.abc import Iterable, Mapping, Sequence
from datetime import datetime
from functools import cached_property, lru_cache
from pathlib import Path
from typing import Any, NoReturn

from jinja2 import Environment, Template, TemplateError
from jinja2.sandbox import ImmutableSandboxedEnvironment
from tokenizers import Regex, Tokenizer, pre_tokenizers
from tokenizers.decoders import DecodeStream

from edgedraft.runtime.errors import EdgedraftError
from edgedraft.runtime.files import read_json
from edgedraft.runtime.records import require

Message = Mapping[str, Any]

CHAT_TEMPLATE = "chat_template.jinja"
TEXT_FILES = ("tokenizer.json", "tokenizer_config.json", CHAT_TEMPLATE)
"""What `TextCodec` reads from a model folder, where it is there."""

_TEMPLATE_FAULTS = (TemplateError, TypeError, ValueError, ArithmeticError, LookupError, AttributeError)

# Truncation and padding are not part of the meaning: `TextCodec` switches them off.
_MEANING = ("model", "normalizer", "pre_tokenizer", "added_tokens")


def tokenizer_fingerprint(path: Path) -> str:
    """SHA-256 over what decides the ids: vocabulary, merges, normalizer, pre-tokenizer and added tokens.

    Two files with one fingerprint turn every text into the same ids, whatever else they hold.
    """
    data = read_json(path)
    require(isinstance(data, dict) and "model" in data, f"{path}: not a tokenizer file", got=type(data).__name__)
    meaning = {key: data.get(key) for key in _MEANING}
    return hashlib.sha256(json.dumps(meaning, sort_keys=True, ensure_ascii=False).encode()).hexdigest()


def chat_template(folder: Path) -> str | None:
    """The Jinja source of a folder's chat template; older folders keep it among the tokenizer's settings.

    Of several there the one named ``default`` is it.
    """
    path = folder / CHAT_TEMPLATE
    if path.is_file():
        return path.read_text(encoding="utf-8")
    found = _settings(folder).get("chat_template")
    if isinstance(found, list):
        found = next((each.get("template") for each in found if each.get("name") == "default"), None)
    return found if isinstance(found, str) else None


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
        self._template = chat_template(folder)
        self._special = _special_tokens(folder)
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
        """SHA-256 over what decides how a conversation is rendered: the template and the texts of special tokens."""
        return hashlib.sha256(json.dumps([self._template, self._special], sort_keys=True).encode()).hexdigest()

    @property
    def has_template(self) -> bool:
        """Whether conversations have a format of their own."""
        return self._template is not None

    def encode(self, text: str) -> list[int]:
        """Token ids of ``text`` as it stands; special tokens written in it count as such."""
        return list(self.tokenizer.encode(text, add_special_tokens=False).ids)

    def encode_batch(self, texts: Sequence[str]) -> list[list[int]]:
        """`encode` of every text, on all cores."""
        return [found.ids for found in self.tokenizer.encode_batch_fast(list(texts), add_special_tokens=False)]

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

    @property
    def template(self) -> str | None:
        """The Jinja source of the chat template."""
        return self._template

    def render_chat(
        self,
        messages: Sequence[Message],
        tools: Sequence[Message] = (),
        *,
        answer: bool = True,
        environment: Environment | None = None,
    ) -> str:
        """The conversation in the model's own chat format, ending where the assistant's answer begins.

        ``tools`` are the functions that the assistant may call, as JSON schemas. Without ``answer`` the text ends with
        the last message. Without a template the contents are joined by blank lines. ``environment`` takes the place of
        `chat_environment`.
        """
        if self._template is None:
            return "\n\n".join(str(message["content"]) for message in messages)
        facts = {"messages": list(messages), "tools": list(tools) or None, "add_generation_prompt": answer}
        try:
            return _compiled(self._template, environment).render(**facts, **self._special)
        except _TEMPLATE_FAULTS as error:
            raise EdgedraftError("chat_template.jinja cannot render this conversation", got=str(error)) from error


class TextStream:
    """Turns ids into text as they come, holding back what is not yet whole or may begin a stop string."""

    def __init__(self, codec: TextCodec, stop: Sequence[str] = ()) -> None:
        self._tokenizer = codec.tokenizer
        self._decoder = DecodeStream(skip_special_tokens=True)
        self._stop = tuple(text for text in stop if text)
        self._held = ""
        self.stopped = False

    def push(self, token_id: int) -> str:
        """The text that ``token_id`` makes certain; sets ``stopped`` when a stop string is complete."""
        self._held += self._decoder.step(self._tokenizer, token_id) or ""
        found = [place for stop in self._stop if (place := self._held.find(stop)) >= 0]
        if found:
            self.stopped = True
            ready, self._held = self._held[: min(found)], ""
            return ready
        keep = max((_overlap(self._held, stop) for stop in self._stop), default=0)
        ready, self._held = self._held[: len(self._held) - keep], self._held[len(self._held) - keep :]
        return ready

    def finish(self) -> str:
        """The text still held back."""
        ready, self._held = self._held, ""
        return ready


def _overlap(text: str, stop: str) -> int:
    """Length of the longest end of ``text`` that begins ``stop``."""
    return next((size for size in range(min(len(text), len(stop) - 1), 0, -1) if text.endswith(stop[:size])), 0)


def _special_tokens(folder: Path) -> dict[str, str]:
    """bos/eos/pad token texts for the template, from tokenizer_config.json when it is there."""
    config = _settings(folder)
    names = ("bos_token", "eos_token", "pad_token", "unk_token")
    found = {name: config.get(name) for name in names}
    return {name: token["content"] if isinstance(token, dict) else token for name, token in found.items() if token}


def _settings(folder: Path) -> Mapping[str, Any]:
    path = folder / "tokenizer_config.json"
    data = read_json(path) if path.is_file() else {}
    return data if isinstance(data, Mapping) else {}


@lru_cache(maxsize=8)
def _compiled(source: str, environment: Environment | None) -> Template:
    return (environment or _usual_environment()).from_string(source)


@lru_cache(maxsize=1)
def _usual_environment() -> Environment:
    return chat_environment()


def chat_environment(kind: type[Environment] = ImmutableSandboxedEnvironment, **options: Any) -> Environment:
    """What Hugging Face chat templates expect: a sandbox with the filters and globals that they use."""
    environment = kind(trim_blocks=True, lstrip_blocks=True, extensions=["jinja2.ext.loopcontrols"], **options)
    environment.filters["tojson"] = _to_json
    environment.globals["raise_exception"] = _raise_exception
    environment.globals["strftime_now"] = lambda form: datetime.now().strftime(form)
    return environment


def _to_json(
    value: object,
    ensure_ascii: bool = False,
    indent: int | None = None,
    separators: tuple[str, str] | None = None,
    sort_keys: bool = False,
) -> str:
    """The filter with the arguments that transformers gives it; Jinja's own would escape HTML."""
    return json.dumps(value, ensure_ascii=ensure_ascii, indent=indent, separators=separators, sort_keys=sort_keys)


def _raise_exception(message: str) -> NoReturn:
    raise TemplateError(message)
