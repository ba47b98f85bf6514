"""Read the requests of clients: posted JSON becomes a frozen record, or an error that names the field."""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from edgedraft.runtime.base.errors import EdgedraftError, shown
from edgedraft.runtime.core.options import DecodingOptions
from edgedraft.runtime.core.sampling import SamplingSettings
from edgedraft.runtime.serving.openai.errors import ApiError, as_api_error
from edgedraft.runtime.serving.openai.fields import Fields
from edgedraft.runtime.serving.openai.unsupported import NEUTRAL, WITHOUT_EFFECT
from edgedraft.runtime.text.messages import Message, normalized

_MOST_TOKENS, _MOST_TOOLS, _MOST_MESSAGES = 2**31 - 1, 256, 10_000
_MOST_STOPS, _LONGEST_STOP, _MOST_BIASES = 16, 1000, 1024
_MOST_CHAT_SCORES, _MOST_COMPLETION_SCORES = 20, 5
_LARGEST_BIAS, _HOTTEST = 1000.0, 100.0


@dataclass(frozen=True, kw_only=True, slots=True)
class AnswerRequest:
    """A request for one answer: to ``messages`` with ``tools``, or to ``prompt``, a text or token ids.

    ``max_tokens`` None means as many as the context holds. ``scored`` asks for log-probabilities, and
    ``options.top_log_probs`` for those of the best tokens, too.
    """

    model: str | None
    options: DecodingOptions
    messages: tuple[Message, ...] = ()
    tools: tuple[Message, ...] = ()
    prompt: str | tuple[int, ...] | None = None
    max_tokens: int | None = None
    stop: tuple[str, ...] = ()
    stream: bool = False
    include_usage: bool = False

    @property
    def scored(self) -> bool:
        """Return whether log-probabilities were asked for."""
        return self.options.log_probs

    @property
    def is_chat(self) -> bool:
        """Return whether this is a request of a chat."""
        return self.prompt is None


def chat_request(data: object) -> AnswerRequest:
    """Read the body of ``/v1/chat/completions``."""
    fields = Fields(data)
    messages = fields.objects("messages", _MOST_MESSAGES)
    if not messages:
        raise ApiError("messages: expected at least one message", param="messages")
    try:
        checked = normalized(messages)
    except EdgedraftError as error:
        raise as_api_error(error, "messages") from error
    tools = _tools(fields)
    scored, best = fields.flag("logprobs"), fields.whole("top_logprobs", 0, _MOST_CHAT_SCORES)
    if best and not scored:
        raise ApiError("top_logprobs: needs logprobs", got=best, remedy="set logprobs to true", param="top_logprobs")
    return _request(fields, bool(scored), best or 0, messages=tuple(checked), tools=tools)


def completion_request(data: object) -> AnswerRequest:
    """Read the body of ``/v1/completions``."""
    fields = Fields(data)
    prompt = _prompt(fields)
    scored = fields.take("logprobs")
    if isinstance(scored, bool):  # as llama.cpp's server takes it; OpenAI's is the number of best tokens
        best = 0 if scored else None
    else:
        best = Fields({"logprobs": scored}).whole("logprobs", 0, _MOST_COMPLETION_SCORES)
    return _request(fields, best is not None, best or 0, prompt=prompt)


def _request(fields: Fields, scored: bool, best: int, **asked: Any) -> AnswerRequest:
    """Read the fields that both kinds of requests have, and refuse all others."""
    limits = [fields.whole(name, -1, _MOST_TOKENS) for name in ("max_completion_tokens", "max_tokens", "n_predict")]
    if 0 in limits:
        raise ApiError("max_tokens: expected 1 or more", got=0, param="max_tokens")
    given = [limit for limit in limits if limit is not None and limit > 0]
    streamed = fields.nested("stream_options")
    include_usage = streamed is not None and bool(streamed.flag("include_usage"))
    if streamed is not None:
        streamed.require_neutral({"include_obfuscation": (False,)}, frozenset())
    request = AnswerRequest(
        model=fields.text("model"),
        options=_options(fields, scored, best),
        max_tokens=min(given, default=None),
        stop=_stops(fields),
        stream=bool(fields.flag("stream")),
        include_usage=include_usage,
        **asked,
    )
    fields.require_neutral(NEUTRAL, WITHOUT_EFFECT)
    return request


def _options(fields: Fields, scored: bool, best: int) -> DecodingOptions:
    temperature = fields.number("temperature", 0, _HOTTEST)
    filters = {
        "top_p": fields.number("top_p", 0, 1),
        "top_k": fields.whole("top_k", -1, _MOST_TOKENS),
        "min_p": fields.number("min_p", 0, 1),
    }
    neutral = {"top_p": (None, 1), "top_k": (None, 0, -1), "min_p": (None, 0)}
    used = {name: value for name, value in filters.items() if value not in neutral[name]}
    if used and temperature is None:
        name = next(iter(used))
        rule = f"{name}: only drawn tokens are filtered, and answers are greedy without a temperature"
        raise ApiError(rule, remedy="give a temperature", param=name)
    penalty, bias = fields.number("repetition_penalty", 0, 100), _bias(fields)
    seed = fields.whole("seed", -(2**63), 2**63 - 1)
    speculate = fields.flag("speculate")
    try:
        settings = SamplingSettings(
            temperature=temperature or 0.0,
            top_p=filters["top_p"] if "top_p" in used else 1.0,  # type: ignore[arg-type]
            top_k=int(used.get("top_k") or 0),
            min_p=used.get("min_p") or 0.0,
            repetition_penalty=1.0 if penalty is None else penalty,
            logit_bias=bias,
        )
    except EdgedraftError as error:
        raise as_api_error(error, str(error).split()[0].rstrip(":")) from error
    greedy = settings.temperature == 0 and not settings.reads_context and not bias
    return DecodingOptions(
        speculate=speculate,
        sampling=None if greedy else settings,
        seed=None if seed is None or settings.temperature == 0 else seed % 2**64,
        log_probs=scored,
        top_log_probs=best,
    )


def _bias(fields: Fields) -> dict[int, float]:
    value = fields.take("logit_bias")
    if value is None:
        return {}
    if not isinstance(value, Mapping) or len(value) > _MOST_BIASES:
        rule = f"expected an object of at most {_MOST_BIASES} token ids and numbers"
        raise fields.wrong("logit_bias", rule, value)
    within = Fields(value, "logit_bias")
    if not all(name.isdecimal() and len(name) < 12 for name in value):
        raise fields.wrong("logit_bias", "expected token ids as keys", value)
    read = {int(name): within.number(name, -_LARGEST_BIAS, _LARGEST_BIAS) for name in value}
    return {token_id: bias for token_id, bias in read.items() if bias}


def _stops(fields: Fields) -> tuple[str, ...]:
    value = fields.take("stop")
    texts = [value] if isinstance(value, str) else [] if value is None else value
    right = isinstance(texts, list) and len(texts) <= _MOST_STOPS
    if not right or not all(isinstance(text, str) and 0 < len(text) <= _LONGEST_STOP for text in texts):
        rule = f"expected a text, or up to {_MOST_STOPS}, of 1..{_LONGEST_STOP} characters"
        raise fields.wrong("stop", rule, value)
    return tuple(texts)


def _tools(fields: Fields) -> tuple[Message, ...]:
    """Return the functions that the model may call; none where the choice is not to call any."""
    tools, choice = fields.objects("tools", _MOST_TOOLS), fields.take("tool_choice")
    if choice not in (None, "none", "auto"):
        raise fields.wrong("tool_choice", "only 'none' or 'auto' is supported", choice, code="unsupported_value")
    for place, tool in enumerate(tools):
        function = tool.get("function")
        named = isinstance(function, Mapping) and isinstance(function.get("name"), str) and bool(function["name"])
        if tool.get("type") != "function" or not named:
            raise ApiError(f"tools[{place}]: expected a function with a name", got=shown(tool), param="tools")
    return () if choice == "none" else tuple(tools)


def _prompt(fields: Fields) -> str | tuple[int, ...]:
    """Return a text or token ids; a list with one of either counts as that one."""
    value = fields.take("prompt")
    if isinstance(value, list) and len(value) == 1 and isinstance(value[0], str | list):
        value = value[0]
    if isinstance(value, str) and value:
        return value
    whole = isinstance(value, list) and all(isinstance(each, int) and not isinstance(each, bool) for each in value)
    if not value or not whole:
        raise fields.wrong("prompt", "expected one text that is not empty, or one list of token ids", value or "")
    assert isinstance(value, list)
    return tuple(value)
