"""EqualityResult: what a check of a conversion found; it is stored with the conversion."""

from dataclasses import dataclass

from edgedraft.exporter.equality.deviation import REFUSED_ABOVE, REPORTED_ABOVE, Deviation
from edgedraft.runtime.base.errors import EdgedraftError


@dataclass(frozen=True, kw_only=True, slots=True)
class EqualityResult:
    """The result for a tiny copy of the configuration, and that for the converted weights.

    ``refusal`` says why the configuration cannot be converted at all. ``not_checked`` says what was skipped and why.
    """

    family: str
    configuration: Deviation | None = None
    weights: Deviation | None = None
    refusal: str = ""
    not_checked: tuple[str, ...] = ()

    @property
    def acceptable(self) -> bool:
        """Return whether the configuration can be converted and every deviation is within the limit."""
        compared = [each for each in (self.configuration, self.weights) if each is not None]
        return not self.refusal and all(each.share <= REFUSED_ABOVE for each in compared)

    def require_equal(self, name: str, remedy: str) -> None:
        """Raise `EdgedraftError` where the model called ``name`` is converted wrongly, or cannot be converted."""
        if self.refusal:
            raise EdgedraftError(f"{name}: {self.family} cannot be converted", got=self.refusal, remedy=remedy)
        for what, deviation in (("a tiny random copy of its configuration", self.configuration), ("it", self.weights)):
            if deviation is not None and not deviation.share <= REFUSED_ABOVE:
                rule = f"{name}: {self.family}: {what} must be converted into the model that transformers computes"
                got = f"logits that differ by {deviation.told}; {REFUSED_ABOVE:.0%} is allowed"
                raise EdgedraftError(rule, got=got, remedy=remedy)

    def remarks(self, name: str) -> tuple[str, ...]:
        """Return what to tell the user about the model called ``name``, one line each."""
        lines = [f"{name}: not checked: {reason}" for reason in self.not_checked]
        if self.weights is not None and self.weights.share > REPORTED_ABOVE:
            lines.append(f"{name}: the converted model's logits differ from its source's by {self.weights.told}")
        return tuple(lines)
