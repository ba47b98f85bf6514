"""The adaptive policy: every draft must be expected to pay, by measured times and acceptance, or decoding is plain."""

import math
from collections.abc import Sequence
from dataclasses import dataclass, field

from edgedraft.runtime.core.chooser import Chooser, Proposal
from edgedraft.runtime.core.drafting import Drafter
from edgedraft.runtime.core.ngram import NgramIndex
from edgedraft.runtime.core.pace import Allowance, Chances, PassTimes, Pauses
from edgedraft.runtime.core.padding import paid_seconds
from edgedraft.runtime.core.plan import DecodingPlan
from edgedraft.runtime.core.rounds import Round
from edgedraft.runtime.core.timing import TimedModel
from edgedraft.runtime.core.verify import confidence, require_finite

LONGEST_DRAFT = 8

_NGRAM_PRIORS = {2: 0.55, 3: 0.65, 4: 0.7, 5: 0.85}  # as on 768 tokens of answers to coding prompts, a little less
_LEAST_ROW = 0.02  # of a plain step; measured differences may come out as nothing
_CONFIDENCE_STEPS = 10
_FADING = 0.95
_PLAIN_PASSES = 2

Kind = tuple[str, int]
_DRAFTER: Kind = ("drafter", -1)


@dataclass(frozen=True, kw_only=True, slots=True, eq=False)
class Pace:
    """What is known of target and drafter before an answer begins: pass times, and the plan's acceptance rate."""

    target: PassTimes
    drafter: PassTimes
    acceptance_rate: float

    @classmethod
    def planned(cls, plan: DecodingPlan) -> "Pace":
        """What the plan expects."""
        return cls(
            target=PassTimes(paid_seconds(plan.target_pass_seconds)),
            drafter=PassTimes(plan.drafter_pass_seconds),
            acceptance_rate=plan.predicted_acceptance_rate,
        )


@dataclass(frozen=True, kw_only=True, slots=True, eq=False)
class _Draft:
    """One proposal, what kind it is, and the chance it is kept if those before it are."""

    proposal: Proposal
    kind: Kind
    chance: float


@dataclass(frozen=True, kw_only=True, slots=True)
class _Stakes:
    """What one more draft is weighed by: the chance that all before it are kept, tokens per second, a row's seconds."""

    kept: float
    rate: float
    row_seconds: float

    def gain(self, chance: float, more_seconds: float = 0.0) -> float:
        """Expected tokens of a draft less what its time would yield otherwise."""
        return self.kept * chance - self.rate * (self.row_seconds + more_seconds)


@dataclass(kw_only=True, slots=True, eq=False)
class _Answer:
    """What one answer has shown so far; ``tokens`` and ``seconds`` fade, so that their ratio is the speed of late."""

    index: NgramIndex = field(default_factory=NgramIndex)
    chances: Chances = field(default_factory=Chances)
    allowance: Allowance = field(default_factory=Allowance)
    pauses: Pauses = field(default_factory=Pauses)
    drafts: list[_Draft] = field(default_factory=list)
    settled: int = 0
    asked: bool = False
    rounds: int = 0
    tokens: float = 0.0
    seconds: float = 0.0


class AdaptiveDrafts:
    """Drafts token by token, looked up or by the drafter, as long as the next one is worth its time.

    With P the chance that all drafts so far are kept, a draft of chance a that costs s seconds is worth it when
    P·a > rate·s, rate being the tokens per second reached now: the condition that maximises tokens per second of a
    round (Dinkelbach 1967). The drafter's chance is its confidence, corrected by how often drafts of that confidence
    were kept. Where rounds lose time all the same, drafting stops (`Allowance`).
    """

    def __init__(self, drafter: Drafter, drafter_model: TimedModel, target_model: TimedModel, pace: Pace) -> None:
        self._drafter = drafter
        self._drafter_model = drafter_model
        self._target_model = target_model
        self._pace = pace
        self._answer = _Answer()
        self._seen = (0.0, 0.0)

    def begin(self, prompt_ids: Sequence[int]) -> None:
        """See `DraftPolicy.begin`."""
        self._answer = _Answer()
        self._drafter.begin(prompt_ids)
        self._lap()

    def propose(self, settled: Sequence[int], room: int, chooser: Chooser) -> list[Proposal]:
        """See `DraftPolicy.propose`. An answer's first step is plain: it shows what a plain step takes."""
        self._answer.settled = len(settled)
        self._answer.index.extend(settled)
        self._answer.drafts = []
        context = list(settled)
        self._answer.asked = False
        may_draft = self._pace.target.plain_passes >= _PLAIN_PASSES and self._answer.rounds > 0
        while may_draft and len(self._answer.drafts) < min(LONGEST_DRAFT, room):
            found = self._next(context, chooser)
            if found is None:
                break
            self._answer.drafts.append(found)
            context.append(found.proposal.token_id)
        return [draft.proposal for draft in self._answer.drafts]

    def learn(self, turn: Round) -> None:
        """See `DraftPolicy.learn`."""
        self._drafter.keep(self._answer.settled + turn.accepted)
        target_seconds, drafter_seconds = self._lap()
        seconds, tokens = target_seconds + drafter_seconds, turn.accepted + 1
        self._pace.target.learn(turn.proposed + 1, target_seconds)
        for place, draft in enumerate(self._answer.drafts[:tokens]):
            self._judge(draft.kind, place < turn.accepted)
        self._answer.pauses.learn(tokens, self._answer.asked, turn.accepted > 0)
        drafted = turn.proposed > 0 or drafter_seconds > 0
        self._answer.allowance.learn(tokens, seconds / self._pace.target.seconds(1) if drafted else tokens)
        self._answer.rounds += 1
        self._answer.tokens = _FADING * self._answer.tokens + tokens
        self._answer.seconds = _FADING * self._answer.seconds + seconds

    def _lap(self) -> tuple[float, float]:
        """Seconds that target and drafter took since the last lap."""
        before, self._seen = self._seen, (self._target_model.seconds, self._drafter_model.seconds)
        return self._seen[0] - before[0], self._seen[1] - before[1]

    def _next(self, context: Sequence[int], chooser: Chooser) -> _Draft | None:
        """The next draft, or None where none is worth its time."""
        stakes = self._stakes()
        by_drafter = self._gain_by_drafter(context, stakes)
        found = self._looked_up(context)
        if found is not None and stakes.gain(found.chance) > max(by_drafter, 0.0) and self._affordable(0):
            return found
        pays = by_drafter > 0 or not self._pace.drafter.measured  # a plan may be wrong: one pass shows
        if self._drafter.room(context) <= 0 or not self._answer.pauses.may_draft(pays):
            return None
        if not self._affordable(len(context) - self._drafter.model.length):
            return None
        return self._drafted(context, chooser, stakes)

    def _affordable(self, unread: int) -> bool:
        """Whether the allowance covers this round with one draft more, if nothing of it is kept."""
        plain = self._pace.target.seconds(1)
        asking = self._pace.drafter.seconds(unread) if unread and self._pace.drafter.measured else 0.0
        spent = self._drafter_model.seconds - self._seen[1] + asking
        rows = self._pace.target.seconds(len(self._answer.drafts) + 2) - plain
        return self._answer.allowance.covers((spent + max(rows, 0.0)) / plain)

    def _stakes(self) -> _Stakes:
        rows = len(self._answer.drafts) + 1
        plain = self._pace.target.seconds(1)
        row_seconds = self._pace.target.seconds(rows + 1) - self._pace.target.seconds(rows)
        return _Stakes(
            kept=math.prod(draft.chance for draft in self._answer.drafts),
            rate=max(self._answer.tokens / max(self._answer.seconds, 1e-9), 1 / plain),
            row_seconds=max(row_seconds, _LEAST_ROW * plain),
        )

    def _gain_by_drafter(self, context: Sequence[int], stakes: _Stakes) -> float:
        """What asking the drafter is expected to gain, before its confidence is known."""
        unread = max(len(context) - self._drafter.model.length, 1)
        chance = self._answer.chances.of(_DRAFTER, self._pace.acceptance_rate)
        return stakes.gain(chance, self._pace.drafter.seconds(unread))

    def _drafted(self, context: Sequence[int], chooser: Chooser, stakes: _Stakes) -> _Draft | None:
        """Ask the drafter, and draft if its confidence says so; nothing is drawn before that is decided."""
        unread, before = len(context) - self._drafter.model.length, self._drafter_model.seconds
        self._answer.asked = True
        logits = self._drafter.score(context)
        self._pace.drafter.learn(unread, self._drafter_model.seconds - before)
        sure = confidence(logits)
        require_finite(math.isfinite(sure), "the drafter")
        kind = ("confidence", int(sure * _CONFIDENCE_STEPS))
        chance = self._answer.chances.of(kind, sure)
        if stakes.gain(chance) <= 0:
            self._answer.chances.learn(_DRAFTER, False)  # a pass for nothing, like a refused draft
            return None
        proposal = chooser.propose(logits, self._drafter.index_map, context)
        return _Draft(proposal=proposal, kind=kind, chance=chance)

    def _looked_up(self, context: Sequence[int]) -> _Draft | None:
        match = self._answer.index.find(context)
        if match is None:
            return None
        kind = ("n-gram", match.length)
        chance = self._answer.chances.of(kind, _NGRAM_PRIORS[match.length])
        return _Draft(proposal=Proposal(token_id=match.token_id), kind=kind, chance=chance)

    def _judge(self, kind: Kind, accepted: bool) -> None:
        self._answer.chances.learn(kind, accepted)
        if kind[0] == "confidence":
            self._answer.chances.learn(_DRAFTER, accepted)
