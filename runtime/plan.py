"""DecodingPlan: what the exporter decided for one device, and why."""

from dataclasses import dataclass

from edgedraft.runtime.records import require


@dataclass(frozen=True, kw_only=True, slots=True)
class DecodingPlan:
    """How to decode with a bundle on the device it was planned for.

    ``predicted_*`` are tokens per second of decoding (prompt reading excluded); ``predicted_block_efficiency`` is τ on
    the held-out prompts. ``threads`` counts intra-op threads of the pool that target and drafter share.
    """

    draft_vocab_size: int
    draft_length: int
    target_precision: str
    drafter_precision: str
    threads: int
    predicted_tokens_per_second: float
    predicted_plain_tokens_per_second: float
    predicted_block_efficiency: float
    speculate: bool
    reason: str
    device: str

    def __post_init__(self) -> None:
        require(self.draft_vocab_size >= 1, "plan: draft_vocab_size must be at least 1", got=self.draft_vocab_size)
        require(self.draft_length >= 1, "plan: draft_length must be at least 1", got=self.draft_length)
        require(self.threads >= 1, "plan: threads must be at least 1", got=self.threads)

    @property
    def predicted_speed_up(self) -> float:
        """Predicted tokens per second with speculation over those without."""
        return self.predicted_tokens_per_second / self.predicted_plain_tokens_per_second
