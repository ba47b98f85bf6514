"""Build requests to an OpenAI-compatible server, and read its answers as token ids; no request is made here.

The prompt goes out as token ids to ``/completions``. The chat template and the tokenizer are then ours, so the model
reads exactly the ids that the drafter will be traced on, and the text comes back as it was generated: a server's
``/chat/completions`` takes tool calls and reasoning out of it. Where a server takes no ids the rendered text is sent,
and where it has no ``/completions`` at all the messages are.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from enum import Enum
from typing import Any

from edgedraft.calibration.answers.batched import Draws
from edgedraft.calibration.answers.retries import PassingError, RefusedError
from edgedraft.calibration.answers.sampling import Question
from edgedraft.calibration.answers.server import NO_SUCH_PATH
from edgedraft.runtime.base.records import require
from edgedraft.runtime.core.limits import Limits, limited
from edgedraft.runtime.core.rounds import Round
from edgedraft.runtime.core.sampling import SamplingSettings
from edgedraft.runtime.text.codec import TextCodec

_BIAS_LIMIT = 100.0
_NOT_UNDERSTOOD = (400, 422)


class Way(Enum):
    """The form in which a question is sent to a server; the earlier, the more faithful."""

    IDS = "token ids"
    TEXT = "text"
    CHAT = "messages"

    @property
    def path(self) -> str:
        """Below the base address."""
        return "chat/completions" if self is Way.CHAT else "completions"

    def after(self, status: int) -> "Way | None":
        """Return the way to try when a server refused this one with an HTTP status; None when no other can help."""
        if self is not Way.CHAT and status in NO_SUCH_PATH:
            return Way.CHAT
        return Way.TEXT if self is Way.IDS and status in _NOT_UNDERSTOOD else None


@dataclass(frozen=True, kw_only=True, slots=True)
class AnswerSpec:
    """All that decides an answer besides its question and the model. Without ``draws`` the best token is taken.

    ``vocab_size`` is the target's.
    """

    limits: Limits
    vocab_size: int
    draws: Draws | None = None

    def __post_init__(self) -> None:
        require(len(self.limits.end_token_ids) > 0, "an endpoint's answers need an end-of-turn token id", got="none")


def request_body(way: Way, question: Question, codec: TextCodec, spec: AnswerSpec, model: str) -> dict[str, Any]:
    """Return the JSON object to post to ``way.path``."""
    body: dict[str, Any] = {"model": model, "max_tokens": spec.limits.max_new_tokens, "stream": False}
    body |= _drawing(spec, question, all_fields=way is not Way.CHAT)
    prompt = question.prompt
    if way is Way.CHAT:
        tools = {"tools": [dict(tool) for tool in prompt.tools]} if prompt.tools else {}
        return body | {"messages": [dict(message) for message in prompt.messages]} | tools
    if way is Way.IDS:
        body["prompt"] = list(question.prompt_ids)
    else:
        body |= {"prompt": codec.render_chat(prompt.messages, prompt.tools), "add_special_tokens": False}
    # vLLM's, then llama.cpp's; either gives the ids that were generated.
    body |= {"return_token_ids": True, "skip_special_tokens": False, "stop_token_ids": spec.limits.end_token_ids}
    # Without its cache llama.cpp's answer does not depend on what was asked before.
    return body | {"return_tokens": True, "verbose": True, "cache_prompt": False}


def answer_ids(data: Any, question: Question, codec: TextCodec, spec: AnswerSpec) -> tuple[int, ...]:
    """Return the token ids of the answer to ``question``, its end-of-turn token included, from the server's JSON.

    The generated ids where the server gives them, else the text's. A malformed or empty answer is a `PassingError`,
    one that cannot be counted a `RefusedError`.
    """
    choice = _first_choice(data)
    text, token_ids = _text(choice), _given_ids(choice, data)
    ended = choice.get("finish_reason") == "stop"
    if token_ids is None:
        # A character that the limit cut apart comes back as replacement characters, which nobody generated.
        token_ids = codec.encode(text if ended else text.rstrip("\ufffd"))
        # A turn that ends at once is an answer of one token; a server that gave up counts none.
        if not token_ids and not (ended and _tokens_used(data) == 1):
            raise PassingError("an empty answer")
    elif text and _letters(codec.decode(token_ids)) != _letters(codec.decode(codec.encode(text))):
        raise RefusedError("token ids that stand for other text in the target's tokenizer: is it the same model?")
    outside = next((each for each in token_ids if not 0 <= each < spec.vocab_size), None)
    if outside is not None:
        raise RefusedError(f"token id {outside} in an answer, outside the vocabulary of {spec.vocab_size}")
    if ended and not set(token_ids) & set(spec.limits.end_token_ids):
        token_ids = [*token_ids, _end_of_turn(question, spec.limits)]
    return next(limited([Round(token_ids=tuple(token_ids))], spec.limits)).token_ids


def _drawing(spec: AnswerSpec, question: Question, *, all_fields: bool) -> dict[str, Any]:
    """Return the sampling fields; those outside OpenAI's protocol go to a chat only where they change something.

    With ``all_fields`` neutral values are sent too: llama.cpp would else take its own top-k of 40 and min-p of 0.05,
    vLLM the model card's penalty.
    """
    settings = spec.draws.settings if spec.draws else SamplingSettings(temperature=0)
    body: dict[str, Any] = {"temperature": settings.temperature, "top_p": settings.top_p}
    if spec.draws:
        body["seed"] = int(spec.draws.generator(question.prompt.digest).integers(2**31))
    if settings.logit_bias:
        bounded = {str(key): max(-_BIAS_LIMIT, min(_BIAS_LIMIT, bias)) for key, bias in settings.logit_bias.items()}
        body["logit_bias"] = bounded
    if all_fields or settings.top_k > 0:
        body["top_k"] = settings.top_k or -1
    if all_fields or settings.min_p > 0:
        body["min_p"] = settings.min_p
    if all_fields or settings.reads_context:
        body |= {"repetition_penalty": settings.repetition_penalty, "repeat_penalty": settings.repetition_penalty}
        body["repeat_last_n"] = len(question.prompt_ids) + spec.limits.max_new_tokens
    return body


def _first_choice(data: Any) -> Mapping[str, Any]:
    choices = data.get("choices") if isinstance(data, dict) else None
    if not (isinstance(choices, list) and choices and isinstance(choices[0], dict)):
        raise PassingError("an answer without choices: does the address end in /v1?")
    return choices[0]


def _text(choice: Mapping[str, Any]) -> str:
    """Return the generated text; a chat answer whose text was taken apart cannot be put together again."""
    message = choice.get("message")
    if isinstance(message, dict):
        parts = [key for key in ("tool_calls", "reasoning_content", "reasoning") if message.get(key)]
        if parts:
            raise RefusedError(f"{parts[0]} apart from the text: switch off the server's parser, or serve /completions")
    text = message.get("content") if isinstance(message, dict) else choice.get("text")
    return text if isinstance(text, str) else ""


def _given_ids(choice: Mapping[str, Any], data: Mapping[str, Any]) -> list[int] | None:
    """Return the generated ids, which vLLM puts beside the text and llama.cpp below ``__verbose``."""
    details = data.get("__verbose")
    for token_ids in (choice.get("token_ids"), details.get("tokens") if isinstance(details, dict) else None):
        if isinstance(token_ids, Sequence) and token_ids and all(type(each) is int for each in token_ids):
            return list(token_ids)
    return None


def _end_of_turn(question: Question, limits: Limits) -> int:
    """Return the end token that the template ends turns with, by the prompt; the first where it shows none."""
    shown = (token_id for token_id in reversed(question.prompt_ids) if token_id in limits.end_token_ids)
    return next(shown, limits.end_token_ids[0])


def _letters(text: str) -> str:
    """Return the letters and digits of a text: tokenizers may differ in blanks, signs and broken characters."""
    return "".join(filter(str.isalnum, text))


def _tokens_used(data: Mapping[str, Any]) -> int:
    usage = data.get("usage")
    count = usage.get("completion_tokens") if isinstance(usage, dict) else None
    return count if isinstance(count, int) else 0
