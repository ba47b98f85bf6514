"""Answers in the protocol's form: whole bodies and chunks of a stream, for chats and for completions."""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

from edgedraft.runtime.serving.openai.requests import AnswerRequest
from edgedraft.runtime.serving.openai.scores import TokenScore, chat_scores, completion_scores, token_scores
from edgedraft.runtime.text.codec import TextCodec
from edgedraft.runtime.text.streaming import TextPiece, Usage
from edgedraft.runtime.text.tool_calls import ToolCall, ToolCallReader, separated, shows_tool_calls

TOOL_CALLS = "tool_calls"


@dataclass(frozen=True, kw_only=True, slots=True)
class AnswerFacts:
    """The parts that all bodies of one answer share: its id, when it began (Unix time), and the model's name."""

    id: str
    created: int
    model: str


class AnswerWriter:
    """Writes the bodies of one answer to ``request``. It holds the state of a stream: calls found, characters sent."""

    def __init__(
        self, facts: AnswerFacts, request: AnswerRequest, codec: TextCodec, end_token_ids: Sequence[int]
    ) -> None:
        self._facts, self._request, self._codec, self._ends = facts, request, codec, end_token_ids
        calling = bool(request.tools) and shows_tool_calls(codec.chat.source)
        self._reader = ToolCallReader() if calling else None
        self._sent = self._calls = 0

    def whole(self, pieces: Sequence[TextPiece]) -> dict[str, Any]:
        """Return the body of a whole answer, whose last piece has its usage."""
        last = pieces[-1]
        assert last.usage is not None, "the last piece carries its usage"
        text, calls = "".join(piece.text for piece in pieces), list[ToolCall]()
        if self._reader is not None:
            text, calls = separated(text)
        finish = TOOL_CALLS if calls else last.finish_reason
        scores = self._scores(pieces)
        if self._request.is_chat:
            message: dict[str, Any] = {"role": "assistant", "content": None if calls and not text else text}
            if calls:
                message["tool_calls"] = [call.json_form() for call in calls]
            choice: dict[str, Any] = {"message": message, "logprobs": None if scores is None else chat_scores(scores)}
        else:
            choice = {"text": text, "logprobs": None if scores is None else completion_scores(scores, 0)}
        return {
            **self._head("chat.completion" if self._request.is_chat else "text_completion"),
            "choices": [{"index": 0, **choice, "finish_reason": finish}],
            "usage": usage_body(last.usage),
            "timings": timings_body(last.usage),
            "edgedraft": provenance(pieces),
        }

    def first_chunk(self) -> list[dict[str, Any]]:
        """Return what a stream begins with."""
        return [self._chunk({"delta": {"role": "assistant", "content": ""}})] if self._request.is_chat else []

    def chunks(self, piece: TextPiece) -> list[dict[str, Any]]:
        """Return the chunks of one piece; the first of them says where each of its tokens came from."""
        scores = self._scores([piece])
        parts: list[str | ToolCall] = [piece.text] if self._reader is None else [*self._reader.push(piece.text)]
        choices = [self._choice(part) for part in parts] or [self._choice("")]
        if scores is not None:
            chat = self._request.is_chat
            choices[0]["logprobs"] = chat_scores(scores) if chat else completion_scores(scores, self._sent)
        self._sent += len(piece.text)
        chunks = [self._chunk(choice) for choice in choices]
        chunks[0]["edgedraft"] = provenance([piece])
        return chunks

    def last_chunks(self, piece: TextPiece) -> list[dict[str, Any]]:
        """Return the chunks that end a stream: what was held back, why it ended, and the usage if it was asked for."""
        assert piece.usage is not None, "the last piece carries its usage"
        rest = [] if self._reader is None else [*self._reader.finish()]
        called = self._reader is not None and self._reader.found > 0
        finish = TOOL_CALLS if called else piece.finish_reason
        end: dict[str, Any] = {"delta": {}} if self._request.is_chat else {"text": ""}
        chunks = [*(self._chunk(self._choice(part)) for part in rest), self._chunk(end, finish)]
        chunks[-1]["timings"] = timings_body(piece.usage)
        if self._request.include_usage:
            body = {**self._head(self._kind), "choices": [], "usage": usage_body(piece.usage)}
            chunks.append({**body, "timings": timings_body(piece.usage)})
        return chunks

    @property
    def _kind(self) -> str:
        return "chat.completion.chunk" if self._request.is_chat else "text_completion"

    def _head(self, kind: str) -> dict[str, Any]:
        facts = self._facts
        return {"id": facts.id, "object": kind, "created": facts.created, "model": facts.model}

    def _choice(self, part: str | ToolCall) -> dict[str, Any]:
        if isinstance(part, ToolCall):
            self._calls += 1
            return {"delta": {"tool_calls": [{"index": self._calls - 1, **part.json_form()}]}}
        return {"delta": {"content": part}} if self._request.is_chat else {"text": part}

    def _chunk(self, choice: dict[str, Any], finish: str | None = None) -> dict[str, Any]:
        whole = {"index": 0, **choice, "finish_reason": finish}
        whole.setdefault("logprobs", None)
        return {**self._head(self._kind), "choices": [whole]}

    def _scores(self, pieces: Sequence[TextPiece]) -> list[TokenScore] | None:
        return token_scores(pieces, self._codec, self._ends) if self._request.scored else None


def provenance(pieces: Sequence[TextPiece]) -> dict[str, Any]:
    """Return the ids of the tokens, and for each whether it was drafted: an extension of the protocol."""
    return {
        "token_ids": [token_id for piece in pieces for token_id in piece.token_ids],
        "drafted": [drafted for piece in pieces for drafted in piece.drafted_by_token],
    }


def usage_body(usage: Usage) -> dict[str, Any]:
    """Return the counts of tokens."""
    return {
        "prompt_tokens": usage.prompt_tokens,
        "completion_tokens": usage.completion_tokens,
        "total_tokens": usage.prompt_tokens + usage.completion_tokens,
        "prompt_tokens_details": {"cached_tokens": usage.cached_tokens},
    }


def timings_body(usage: Usage) -> dict[str, Any]:
    """Return the counts and times that llama.cpp's server gives, in milliseconds and tokens per second."""
    read, made = usage.prompt_tokens - usage.cached_tokens, usage.completion_tokens
    first, rest = usage.first_token_seconds, usage.seconds - usage.first_token_seconds
    return {
        "cache_n": usage.cached_tokens,
        "prompt_n": read,
        "prompt_ms": first * 1000,
        "prompt_per_token_ms": first * 1000 / max(read, 1),
        "prompt_per_second": read / first if first > 0 else 0.0,
        "predicted_n": made,
        "predicted_ms": rest * 1000,
        "predicted_per_token_ms": rest * 1000 / max(made, 1),
        "predicted_per_second": usage.tokens_per_second,
        "draft_n": usage.drafted_tokens,
        "draft_n_accepted": usage.accepted_tokens,
    }
