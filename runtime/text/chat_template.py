"""Render conversations in a model's own format: its Jinja template, in a sandbox as Hugging Face templates expect."""

import hashlib
import json
import os
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from functools import lru_cache
from pathlib import Path
from typing import Any, NoReturn

from jinja2 import Environment, Template, TemplateError, nodes
from jinja2.ext import Extension, loopcontrols
from jinja2.parser import Parser

from edgedraft.runtime.base.errors import EdgedraftError, first_line, shown
from edgedraft.runtime.base.plain_files import read_plain
from edgedraft.runtime.base.records import require
from edgedraft.runtime.base.tokenizer_files import CHAT_TEMPLATE, TOKENIZER_SETTINGS, tokenizer_settings
from edgedraft.runtime.text.messages import Message, normalized
from edgedraft.runtime.text.template_budget import new_budget
from edgedraft.runtime.text.template_form import TemplateForm, template_form
from edgedraft.runtime.text.template_sandbox import BudgetedEnvironment, budgeted

_SPECIAL = ("bos_token", "eos_token", "pad_token", "unk_token")
_FAULTS = (
    *(TemplateError, TypeError, ValueError, ArithmeticError, LookupError, AttributeError),
    *(RecursionError, MemoryError, SyntaxError),  # the compiler's, for blocks or brackets that nest too deeply
)
_LONGEST_REASON = 300
_MOST_TEMPLATE_BYTES, _MOST_OWN_TEXT, _TIMES_THE_TEXT = 2**20, 2**20, 8


@dataclass(frozen=True, kw_only=True, slots=True)
class ChatTemplate:
    """A model's chat format.

    ``source`` is a Jinja template, None where the model has no format; ``special_tokens`` are texts by the names that
    the template may use.
    """

    source: str | None
    special_tokens: Mapping[str, str]

    @property
    def fingerprint(self) -> str:
        """SHA-256 over everything that decides how a conversation is rendered."""
        return hashlib.sha256(json.dumps([self.source, self.special_tokens], sort_keys=True).encode()).hexdigest()

    def render(
        self,
        messages: Sequence[Message],
        tools: Sequence[Message] = (),
        *,
        answer: bool = True,
        environment: Environment | None = None,
    ) -> str:
        """Return the conversation as text, up to where the assistant's answer begins.

        Without ``answer`` it ends with the last message. ``tools`` are the functions that the assistant may call, as
        JSON schemas. Messages are `normalized` and given in the form that the template needs. Without a template the
        contents are joined by blank lines. ``environment`` replaces `chat_environment`. Raises `EdgedraftError` for a
        message that cannot be shown, and when the template fails on the conversation.
        """
        checked = normalized(messages)
        if self.source is None:
            return "\n\n".join(message["content"] or "" for message in checked)
        return self._render(self._form(environment).fitted(checked), tools, answer, environment)

    def _form(self, environment: Environment | None) -> TemplateForm:
        assert self.source is not None, "only templates have forms"
        return _form_of(self.source, tuple(sorted(self.special_tokens.items())), environment)

    def _render(
        self, messages: Sequence[Message], tools: Sequence[Message], answer: bool, environment: Environment | None
    ) -> str:
        """Render messages as they are."""
        assert self.source is not None, "only templates render"
        facts = {"messages": list(messages), "tools": list(tools) or None, "add_generation_prompt": answer}
        characters = _characters(facts["messages"]) + _characters(facts["tools"])
        try:
            with new_budget(characters):
                text = _compiled(self.source, environment).render(**facts, **self.special_tokens)
        except _FAULTS as error:
            reason = first_line(error)[:_LONGEST_REASON]
            raise EdgedraftError("chat_template.jinja cannot render this conversation", got=reason) from error
        longest = _MOST_OWN_TEXT + _TIMES_THE_TEXT * characters
        rule = f"chat_template.jinja: expected a text of at most {longest:,} characters for this conversation"
        require(len(text) <= longest, rule, got=f"{len(text):,}")
        return text


def read_chat_template(folder: Path) -> ChatTemplate:
    """Read the chat template of a model folder; older folders keep it among the tokenizer's settings."""
    settings = tokenizer_settings(folder)
    return ChatTemplate(source=_source(folder / CHAT_TEMPLATE, settings), special_tokens=_special_tokens(settings))


def chat_environment(kind: type[Environment] = BudgetedEnvironment, **options: Any) -> Environment:
    """Return a sandbox with the tags, filters and globals that Hugging Face chat templates use."""
    environment = kind(trim_blocks=True, lstrip_blocks=True, extensions=[loopcontrols, _GenerationTag], **options)
    environment.filters["tojson"] = budgeted("tojson", _to_json) if kind is BudgetedEnvironment else _to_json
    environment.globals["raise_exception"] = _raise_exception
    environment.globals["strftime_now"] = lambda form: datetime.now().strftime(form)
    return environment


class _GenerationTag(Extension):
    """The tag ``{% generation %}``, which marks the assistant's words for training; only its contents are rendered."""

    tags = {"generation"}  # noqa: RUF012 - the base class declares it so

    def parse(self, parser: Parser) -> nodes.Node:
        """Parse the block as a scope of its own."""
        line = next(parser.stream).lineno
        return nodes.Scope(parser.parse_statements(("name:endgeneration",), drop_needle=True), lineno=line)


def _source(path: Path, settings: Mapping[str, Any]) -> str | None:
    """Return the template of the file ``path``, or that of the settings: of several, the one named ``default``."""
    if os.path.lexists(path):
        try:
            return read_plain(path, _MOST_TEMPLATE_BYTES).decode("utf-8")
        except UnicodeDecodeError as error:
            raise EdgedraftError(f"{path}: expected UTF-8", got=str(error)) from error
    source, where = settings.get("chat_template"), path.with_name(TOKENIZER_SETTINGS)
    if isinstance(source, list):
        named = all(isinstance(each, dict) for each in source)
        require(named, f"{where}: chat_template: expected a text, or objects with name and template", got=shown(source))
        source = next((each.get("template") for each in source if each.get("name") == "default"), None)
    if not isinstance(source, str):
        return None
    fits = len(source) <= _MOST_TEMPLATE_BYTES
    require(fits, f"{where}: chat_template: expected at most {_MOST_TEMPLATE_BYTES:,} characters", got=len(source))
    return source


def _special_tokens(settings: Mapping[str, Any]) -> dict[str, str]:
    tokens = {name: settings.get(name) for name in _SPECIAL}
    texts = {name: token.get("content") if isinstance(token, dict) else token for name, token in tokens.items()}
    return {name: text for name, text in texts.items() if isinstance(text, str) and text}


def _characters(value: object) -> int:
    """Return the length of a conversation's texts, about."""
    return sum(map(len, map(str, value))) if isinstance(value, list) else 0


@lru_cache(maxsize=8)
def _form_of(source: str, tokens: tuple[tuple[str, str], ...], environment: Environment | None) -> TemplateForm:
    """Return the form of a template, tried once."""
    template = ChatTemplate(source=source, special_tokens=dict(tokens))
    with new_budget():
        return template_form(source, lambda messages: template._render(messages, (), False, environment))


@lru_cache(maxsize=8)
def _compiled(source: str, environment: Environment | None) -> Template:
    return (environment or _shared_environment()).from_string(source)


@lru_cache(maxsize=1)
def _shared_environment() -> Environment:
    return chat_environment()


def _to_json(
    value: object,
    ensure_ascii: bool = False,
    indent: int | None = None,
    separators: tuple[str, str] | None = None,
    sort_keys: bool = False,
) -> str:
    """Write JSON as transformers' filter does, with its arguments; Jinja's own filter escapes HTML."""
    return json.dumps(value, ensure_ascii=ensure_ascii, indent=indent, separators=separators, sort_keys=sort_keys)


def _raise_exception(message: str) -> NoReturn:
    raise TemplateError(message)
