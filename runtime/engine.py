"""Engine: one bundle, opened. It owns both sessions and starts answers on them."""

from collections.abc import Iterator, Sequence
from pathlib import Path

from edgedraft.runtime.bundle import Bundle, read_bundle
from edgedraft.runtime.decoding import Round, plain_rounds, speculative_rounds
from edgedraft.runtime.generation import Limits, limited
from edgedraft.runtime.records import require
from edgedraft.runtime.session import OnnxModel, SessionSettings
from edgedraft.runtime.text import TextCodec


class Engine:
    """Target and trimmed drafter of a bundle, ready to decode. One answer at a time."""

    def __init__(self, bundle: Bundle, *, threads: int | None = None, context_length: int = 2048) -> None:
        manifest = bundle.manifest
        settings = SessionSettings(
            threads=manifest.plan.threads if threads is None else threads,
            context_length=min(context_length, manifest.context_length),
        )
        self.bundle = bundle
        self.settings = settings
        self.codec = TextCodec(bundle.path)
        self.target = OnnxModel(bundle.target_graph, settings)
        self.drafter = OnnxModel(bundle.drafter_graph, settings)
        _check_width(bundle.target_graph, self.target.vocab_size, manifest.target_vocab_size)
        _check_width(bundle.drafter_graph, self.drafter.vocab_size, manifest.plan.draft_vocab_size)

    @classmethod
    def open(cls, path: Path, *, threads: int | None = None, verify_hashes: bool = True) -> "Engine":
        """Check the bundle in ``path`` and open it. ``threads`` overrides the plan's."""
        return cls(read_bundle(path, verify_hashes=verify_hashes), threads=threads)

    def limits(self, max_new_tokens: int) -> Limits:
        """Limits with this bundle's end-of-turn ids."""
        return Limits(max_new_tokens=max_new_tokens, end_token_ids=self.bundle.manifest.end_token_ids)

    def rounds(
        self,
        prompt_ids: Sequence[int],
        limits: Limits,
        *,
        speculate: bool | None = None,
        draft_length: int | None = None,
    ) -> Iterator[Round]:
        """Answer ``prompt_ids`` greedily; ``speculate`` and ``draft_length`` default to the plan's."""
        plan = self.bundle.manifest.plan
        require(len(prompt_ids) > 0, "the prompt holds no token", remedy="write a prompt")
        require(
            len(prompt_ids) < self.settings.context_length,
            f"the prompt must be shorter than the context of {self.settings.context_length} tokens",
            got=len(prompt_ids),
            remedy="shorten the prompt",
        )
        self.target.rewind(0)
        self.drafter.rewind(0)
        if plan.speculate if speculate is None else speculate:
            length = plan.draft_length if draft_length is None else draft_length
            require(length >= 1, "draft length must be at least 1", got=length)
            rounds = speculative_rounds(self.target, self.drafter, self.bundle.index_map, prompt_ids, length)
        else:
            rounds = plain_rounds(self.target, prompt_ids)
        return limited(rounds, limits)


def _check_width(graph: Path, found: int, promised: int) -> None:
    require(found == promised, f"{graph}: logits must be {promised} wide", got=found, remedy="export the bundle again")
