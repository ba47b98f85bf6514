"""The adaptive stop rule: every draft must be expected to pay, by measured times and acceptance, or none is made."""

import math
from collections.abc import Sequence
from dataclasses import dataclass, field

from edgedraft.runtime.base.arrays import Logits
from edgedraft.runtime.core.estimators import AcceptanceEstimator, Backoff, LossBudget
from edgedraft.runtime.core.pass_times import PairPassTimes
from edgedraft.runtime.core.rounds import Round
from edgedraft.runtime.core.token_drafter import Match, ModelStep, StopRule, TokenOffer
from edgedraft.runtime.core.verify import confidence, require_finite

LONGEST_DRAFT = 8

_NGRAM_PRIORS = {2: 0.55, 3: 0.65, 4: 0.7, 5: 0.85}  # as on 768 tokens of answers to coding prompts, a little less
_LEAST_ROW = 0.02  # of a plain step; measured differences may come out as nothing
_CONFIDENCE_STEPS = 10
_FADING = 0.95
_PLAIN_PASSES = 2

Kind = tuple[str, int]
_DRAFTER: Kind = ("drafter", -1)


@dataclass(frozen=True, kw_only=True, slots=True)
class MarginalGain:
    """Weighs one more draft token against the time it takes.

    ``all_accepted`` is the chance that all tokens before it are accepted, ``tokens_per_second`` the speed reached now.
    """

    all_accepted: float
    tokens_per_second: float
    row_seconds: float

    def of(self, rate: float, more_seconds: float = 0.0) -> float:
        """Return the expected tokens of a draft accepted at ``rate``, less what its time would yield otherwise."""
        return self.all_accepted * rate - self.tokens_per_second * (self.row_seconds + more_seconds)


@dataclass(kw_only=True, slots=True, eq=False)
class _DraftState:
    """The draft under way: each token's kind and acceptance rate, whether the drafter was asked, and its seconds."""

    kinds: list[Kind] = field(default_factory=list)
    rates: list[float] = field(default_factory=list)
    asked: bool = False
    seconds: float = 0.0

    def add(self, kind: Kind, rate: float) -> None:
        self.kinds.append(kind)
        self.rates.append(rate)


@dataclass(kw_only=True, slots=True, eq=False)
class _AnswerState:
    """Measurements of one answer; ``tokens`` and ``seconds`` fade, so that their ratio is the recent speed."""

    acceptance: AcceptanceEstimator = field(default_factory=AcceptanceEstimator)
    budget: LossBudget = field(default_factory=LossBudget)
    backoff: Backoff = field(default_factory=Backoff)
    rounds: int = 0
    tokens: float = 0.0
    seconds: float = 0.0


class ExpectedGain(StopRule):
    """Takes offers as long as the next one is worth its time: looked-up tokens, or passes of the drafter.

    With P the chance that all drafts so far are accepted, a draft of acceptance rate a that costs s seconds is worth it
    when P·a > speed·s, speed being the tokens per second reached now: the condition that maximises tokens per second of
    a round (Dinkelbach 1967). The drafter's rate is its confidence, corrected by how often drafts of that confidence
    were accepted. Where rounds lose time all the same, drafting stops (`LossBudget`).
    """

    def __init__(self, pass_times: PairPassTimes) -> None:
        self._times = pass_times
        self._answer = _AnswerState()
        self._draft = _DraftState()

    def begin(self) -> None:
        """See `StopRule.begin`."""
        self._answer, self._draft = _AnswerState(), _DraftState()

    def choose(self, offers: Sequence[TokenOffer], drafted: int) -> TokenOffer | None:
        """See `StopRule.choose`. An answer's first step is plain: it shows what a plain step takes."""
        may_draft = self._times.target.plain_passes >= _PLAIN_PASSES and self._answer.rounds > 0
        if not may_draft or drafted >= LONGEST_DRAFT:
            return None
        match = next((offer for offer in offers if isinstance(offer, Match)), None)
        step = next((offer for offer in offers if isinstance(offer, ModelStep)), None)
        gain = self._marginal_gain()
        gain_by_drafter = self._gain_by_drafter(step, gain) if step is not None else 0.0
        if match is not None and self._takes(match, gain, max(gain_by_drafter, 0.0)):
            return match
        return step if step is not None and self._asks(step, gain_by_drafter) else None

    def accepts(self, step: ModelStep, logits: Logits, seconds: float) -> bool:
        """See `StopRule.accepts`."""
        self._draft.asked = True
        self._draft.seconds += seconds
        self._times.drafter.record(step.unread, seconds)
        sure = confidence(logits)
        require_finite(math.isfinite(sure), "the drafter")
        kind = ("confidence", int(sure * _CONFIDENCE_STEPS))
        rate = self._answer.acceptance.rate(kind, sure)
        if self._marginal_gain().of(rate) <= 0:
            self._answer.acceptance.record(_DRAFTER, False)  # a pass for nothing, like a refused draft
            return False
        self._draft.add(kind, rate)
        return True

    def observe(self, outcome: Round) -> None:
        """See `StopRule.observe`."""
        answer, draft, tokens = self._answer, self._draft, outcome.accepted + 1
        seconds = outcome.target_seconds + outcome.drafter_seconds
        self._times.target.record(outcome.drafted + 1, outcome.target_seconds)
        # Of the refused tokens only the first was looked at.
        for place, kind in enumerate(draft.kinds[:tokens]):
            self._judge(kind, place < outcome.accepted)
        answer.backoff.record(tokens, draft.asked, outcome.accepted > 0)
        drafted = outcome.drafted > 0 or outcome.drafter_seconds > 0
        answer.budget.record(tokens, seconds / self._times.target.seconds(1) if drafted else tokens)
        answer.rounds += 1
        answer.tokens = _FADING * answer.tokens + tokens
        answer.seconds = _FADING * answer.seconds + seconds
        self._draft = _DraftState()

    def _takes(self, match: Match, gain: MarginalGain, least: float) -> bool:
        """Return whether to draft a looked-up token, which must gain more than ``least``."""
        kind = ("n-gram", match.length)
        rate = self._answer.acceptance.rate(kind, _NGRAM_PRIORS[match.length])
        if gain.of(rate) <= least or not self._affordable(0):
            return False
        self._draft.add(kind, rate)
        return True

    def _asks(self, step: ModelStep, gain: float) -> bool:
        """Return whether to make the drafter's pass, which is expected to gain ``gain`` tokens."""
        pays = gain > 0 or not self._times.drafter.measured  # a plan may be wrong: one pass shows
        return self._answer.backoff.may_draft(pays) and self._affordable(step.unread)

    def _affordable(self, unread: int) -> bool:
        """Return whether the budget covers this round with one draft more, if nothing of it is accepted."""
        plain = self._times.target.seconds(1)
        asking = self._times.drafter.seconds(unread) if unread and self._times.drafter.measured else 0.0
        rows = self._times.target.seconds(len(self._draft.kinds) + 2) - plain
        return self._answer.budget.covers((self._draft.seconds + asking + max(rows, 0.0)) / plain)

    def _marginal_gain(self) -> MarginalGain:
        rows = len(self._draft.kinds) + 1
        plain = self._times.target.seconds(1)
        row_seconds = self._times.target.seconds(rows + 1) - self._times.target.seconds(rows)
        return MarginalGain(
            all_accepted=math.prod(self._draft.rates),
            tokens_per_second=max(self._answer.tokens / max(self._answer.seconds, 1e-9), 1 / plain),
            row_seconds=max(row_seconds, _LEAST_ROW * plain),
        )

    def _gain_by_drafter(self, step: ModelStep, gain: MarginalGain) -> float:
        """Return what asking the drafter is expected to gain, before its confidence is known."""
        rate = self._answer.acceptance.rate(_DRAFTER, self._times.acceptance_rate)
        return gain.of(rate, self._times.drafter.seconds(step.unread))

    def _judge(self, kind: Kind, accepted: bool) -> None:
        self._answer.acceptance.record(kind, accepted)
        if kind[0] == "confidence":
            self._answer.acceptance.record(_DRAFTER, accepted)
