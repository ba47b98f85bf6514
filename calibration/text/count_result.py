"""The result of counting text: the counts, and the reports of how reading and counting went."""

from collections import Counter
from collections.abc import Mapping
from dataclasses import dataclass, field, fields

from edgedraft.calibration.counts import TokenCounts
from edgedraft.calibration.data.reading import PROBLEMS_KEPT, ReadReport


@dataclass(frozen=True, kw_only=True, slots=True, order=True)
class Problem:
    """Why the sample with this number and id could not be counted."""

    number: int
    id: str
    reason: str


@dataclass(frozen=True, kw_only=True, slots=True)
class CountReport:
    """A report of how counting went. ``samples`` = ``counted`` + ``without_assistant`` + ``broken``.

    ``turns`` were counted (a text counts as one); ``empty_turns`` say nothing; ``unended_turns`` hold no end token;
    ``rewritten_turns`` are not shown word for word by the template; ``fallback_turns`` were located although the prompt
    before them is no beginning of their rendering. ``dropped_roles`` counts the messages, by role, that the template
    does not show. ``problems`` are the first broken samples by number.
    """

    samples: int = 0
    counted: int = 0
    without_assistant: int = 0
    broken: int = 0
    turns: int = 0
    empty_turns: int = 0
    unended_turns: int = 0
    rewritten_turns: int = 0
    fallback_turns: int = 0
    dropped_roles: Mapping[str, int] = field(default_factory=dict)
    problems: tuple[Problem, ...] = ()

    def __add__(self, other: "CountReport") -> "CountReport":
        numbers = [each.name for each in fields(self) if each.type is int]
        sums = {name: getattr(self, name) + getattr(other, name) for name in numbers}
        dropped = Counter(self.dropped_roles) + Counter(other.dropped_roles)
        return CountReport(
            **sums,
            dropped_roles={role: dropped[role] for role in sorted(dropped)},
            problems=tuple(sorted((*self.problems, *other.problems))[:PROBLEMS_KEPT]),
        )


@dataclass(frozen=True, kw_only=True, slots=True, eq=False)
class CountResult:
    """``counts`` of a data set or a part of it; results add. ``reading`` reports the entries that gave no sample."""

    counts: TokenCounts
    report: CountReport = CountReport()
    reading: ReadReport = field(default_factory=ReadReport)

    def __add__(self, other: "CountResult") -> "CountResult":
        return CountResult(
            counts=self.counts + other.counts,
            report=self.report + other.report,
            reading=self.reading + other.reading,
        )
