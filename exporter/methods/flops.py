"""Floating-point operations of a drafter per token, and the share of them that a smaller head saves."""

from dataclasses import dataclass

from edgedraft.runtime.base.records import require

AUXILIARY_LAYERS = 3
"""Target layers whose hidden states an EAGLE-3 drafter reads, joined into one."""


@dataclass(frozen=True, kw_only=True, slots=True)
class LinearCost:
    """A drafter's cost per token with K tokens in its head: ``fixed`` + K · ``per_token``, in any one unit."""

    fixed: float
    per_token: float

    def __post_init__(self) -> None:
        require(self.fixed >= 0, "cost: fixed: expected 0 or more", got=self.fixed)
        require(self.per_token > 0, "cost: per_token: expected more than 0", got=self.per_token)

    def of(self, size: int) -> float:
        """Return the cost per token with a head of ``size`` tokens."""
        return self.fixed + self.per_token * size

    def reduction(self, size: int, vocab_size: int) -> float:
        """Return R(K) = 1 - cost(K) / cost(V). Source: arXiv 2603.05210."""
        return 1.0 - self.of(size) / self.of(vocab_size)


@dataclass(frozen=True, kw_only=True, slots=True)
class Flops:
    """FLOPs per token of an EAGLE-3 drafter, by part."""

    fc: int
    attention: int
    mlp: int
    head: int

    @property
    def total(self) -> int:
        """All parts together."""
        return self.fc + self.attention + self.mlp + self.head


@dataclass(frozen=True, kw_only=True, slots=True)
class EagleShape:
    """The sizes that decide an EAGLE-3 drafter's FLOPs; a head's width is ``hidden`` / ``heads``, as in the paper."""

    hidden: int
    intermediate: int
    heads: int
    kv_heads: int
    target_vocab_size: int

    def __post_init__(self) -> None:
        for name in self.__slots__:
            require(getattr(self, name) >= 1, f"drafter's shape: {name}: expected 1 or more", got=getattr(self, name))
        rule = f"drafter's shape: hidden: expected a multiple of {self.heads} heads"
        require(self.hidden % self.heads == 0, rule, got=self.hidden)

    @property
    def cost(self) -> LinearCost:
        """FLOPs per token as a function of the draft vocabulary size."""
        without_head = self.flops(0)
        return LinearCost(fixed=without_head.total, per_token=2 * self.hidden)

    def flops(self, size: int) -> Flops:
        """Count FLOPs per token with a head of ``size`` tokens. Source: arXiv 2603.05210.

        The attention reads the token's embedding beside the hidden state, so its inputs are 2 · hidden wide; the MLP is
        gated: three matrices.
        """
        head_width = self.hidden // self.heads
        queries, keys = self.heads * head_width, self.kv_heads * head_width
        return Flops(
            fc=2 * (AUXILIARY_LAYERS * self.hidden) * self.hidden,
            attention=2 * (2 * self.hidden) * (queries + 2 * keys) + 2 * queries * self.hidden,
            mlp=2 * self.hidden * self.intermediate * 3,
            head=2 * self.hidden * size,
        )


def drafter_cost(parameters_without_head: int, hidden: int) -> LinearCost:
    """Return FLOPs per token of an independent drafter: two for each parameter that a step multiplies with.

    An embedding is looked up, not multiplied with, so it counts only as the head that it may be tied to.
    """
    return LinearCost(fixed=2 * parameters_without_head, per_token=2 * hidden)
