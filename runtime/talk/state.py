"""The state of a talk: its messages, and what its answers took so far."""

from dataclasses import dataclass, replace

from edgedraft.runtime.base.records import require
from edgedraft.runtime.text.messages import ASSISTANT, Message
from edgedraft.runtime.text.streaming import Usage

SYSTEM, USER = "system", "user"


@dataclass(frozen=True, kw_only=True, slots=True)
class Talk:
    """A conversation; ``turns`` are the messages of user and assistant, ``system`` is empty where there is none."""

    system: str = ""
    turns: tuple[Message, ...] = ()

    @property
    def messages(self) -> list[Message]:
        """Return all messages, the system message first."""
        first = [{"role": SYSTEM, "content": self.system}] if self.system else []
        return [*first, *self.turns]

    def asked(self, text: str) -> "Talk":
        """Return the talk with a message of the user."""
        return replace(self, turns=(*self.turns, {"role": USER, "content": text}))

    def answered(self, text: str) -> "Talk":
        """Return the talk with the assistant's answer."""
        return replace(self, turns=(*self.turns, {"role": ASSISTANT, "content": text}))

    def unanswered(self) -> "Talk":
        """Return the talk up to the user's last message; raise `EdgedraftError` if there is none."""
        places = [place for place, turn in enumerate(self.turns) if turn["role"] == USER]
        require(bool(places), "there is no message to answer yet", remedy="write one")
        return replace(self, turns=self.turns[: places[-1] + 1])


@dataclass(frozen=True, kw_only=True, slots=True)
class TalkTotals:
    """Sums over the answers of a talk; ``context_tokens`` are those of the last prompt and its answer."""

    answers: int = 0
    tokens: int = 0
    timed_tokens: int = 0
    seconds: float = 0.0
    drafted: int = 0
    accepted: int = 0
    context_tokens: int = 0

    def with_answer(self, usage: Usage) -> "TalkTotals":
        """Return the sums with one more answer; its first token is counted but not timed."""
        return TalkTotals(
            answers=self.answers + 1,
            tokens=self.tokens + usage.completion_tokens,
            timed_tokens=self.timed_tokens + usage.statistics.tokens,
            seconds=self.seconds + usage.seconds - usage.first_token_seconds,
            drafted=self.drafted + usage.drafted_tokens,
            accepted=self.accepted + usage.accepted_tokens,
            context_tokens=usage.prompt_tokens + usage.completion_tokens,
        )

    def line(self, context_length: int) -> str:
        """Return the sums in one line."""
        speed = f", {self.timed_tokens / self.seconds:.1f} tokens/s" if self.timed_tokens and self.seconds else ""
        count = f"{self.answers} answer{'' if self.answers == 1 else 's'}, {self.tokens} tokens"
        used = f"{self.context_tokens:,} of {context_length:,} context tokens in use"
        return f"{count}{speed}{_kept(self.accepted, self.drafted)}; {used}"


def answer_line(usage: Usage, ending: str = "") -> str:
    """Return what one answer took, in a line that fits a narrow terminal; ``ending`` says why it ended early."""
    early = f", {ending}" if ending else ""
    speed = f"{usage.tokens_per_second:.1f} tokens/s after {usage.first_token_seconds:.2f} s"
    return f"{usage.completion_tokens} tokens{early}, {speed}{_kept(usage.accepted_tokens, usage.drafted_tokens)}"


def _kept(accepted: int, drafted: int) -> str:
    """Return the kept share of the drafts as a part of a line."""
    if not drafted:
        return ", without speculation"
    return f", {accepted} of {drafted} drafts kept ({accepted / drafted:.0%})"
