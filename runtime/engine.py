"""Engine: one bundle, opened. It owns both sessions and starts answers on them."""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from edgedraft.runtime.bundle import Bundle, read_bundle
from edgedraft.runtime.chooser import GREEDY, Chooser, SampledChooser
from edgedraft.runtime.decoding import Drafter, Round, plain_rounds, speculative_rounds
from edgedraft.runtime.generation import Limits, TextPiece, limited, text_pieces
from edgedraft.runtime.model import CONTEXT_LENGTH
from edgedraft.runtime.records import require
from edgedraft.runtime.sampling import SamplingSettings
from edgedraft.runtime.session import OnnxModel, SessionSettings
from edgedraft.runtime.text import Message, TextCodec


@dataclass(frozen=True, kw_only=True, slots=True)
class DecodingOptions:
    """How to answer; None leaves it to the bundle's plan. Without ``sampling`` the best token is always taken.

    ``seed`` makes drawn answers repeat: the same seed, bundle, machine and options give the same text.
    """

    speculate: bool | None = None
    draft_length: int | None = None
    sampling: SamplingSettings | None = None
    seed: int | None = None

    def chooser(self) -> Chooser:
        """What picks the tokens."""
        if self.sampling is None:
            return GREEDY
        return SampledChooser(self.sampling, np.random.default_rng(self.seed))


class Engine:
    """Target and trimmed drafter of a bundle, ready to decode. One answer at a time."""

    def __init__(self, bundle: Bundle, *, threads: int | None = None, context_length: int = CONTEXT_LENGTH) -> None:
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
    def open(
        cls,
        path: Path,
        *,
        threads: int | None = None,
        context_length: int = CONTEXT_LENGTH,
        verify_hashes: bool = True,
    ) -> "Engine":
        """Check the bundle in ``path`` and open it.

        ``threads`` overrides the plan's; prompt and answer may have ``context_length`` tokens together.
        """
        bundle = read_bundle(path, verify_hashes=verify_hashes)
        return cls(bundle, threads=threads, context_length=context_length)

    def limits(self, max_new_tokens: int) -> Limits:
        """Limits with this bundle's end-of-turn ids."""
        return Limits(max_new_tokens=max_new_tokens, end_token_ids=self.bundle.manifest.end_token_ids)

    def rounds(
        self,
        prompt_ids: Sequence[int],
        limits: Limits,
        options: DecodingOptions | None = None,
    ) -> Iterator[Round]:
        """Answer ``prompt_ids``; without options greedily and as the plan says."""
        plan = self.bundle.manifest.plan
        options = options or DecodingOptions()
        require(len(prompt_ids) > 0, "the prompt holds no token", remedy="write a prompt")
        require(
            len(prompt_ids) < self.settings.context_length,
            f"the prompt must be shorter than the context of {self.settings.context_length} tokens",
            got=len(prompt_ids),
            remedy="shorten the prompt",
        )
        self.target.rewind(0)
        self.drafter.rewind(0)
        chooser = options.chooser()
        if plan.speculate if options.speculate is None else options.speculate:
            length = plan.draft_length if options.draft_length is None else options.draft_length
            require(length >= 1, "draft length must be at least 1", got=length)
            drafter = Drafter(model=self.drafter, index_map=self.bundle.index_map, draft_length=length)
            rounds = speculative_rounds(self.target, drafter, prompt_ids, chooser)
        else:
            rounds = plain_rounds(self.target, prompt_ids, chooser)
        return limited(rounds, limits)

    def stream(
        self,
        prompt: str | Sequence[Message],
        *,
        max_new_tokens: int = 256,
        stop: Sequence[str] = (),
        options: DecodingOptions | None = None,
    ) -> Iterator[TextPiece]:
        """The answer to a text or a conversation, piece by piece, each saying whether it was drafted.

        >>> for piece in engine.stream("Reverse a list in Python."):  # doctest: +SKIP
        ...     print(piece.text, end="")
        """
        messages = [{"role": "user", "content": prompt}] if isinstance(prompt, str) else prompt
        rounds = self.rounds(self.codec.encode_chat(messages), self.limits(max_new_tokens), options)
        return text_pieces(rounds, self.codec, stop)

    def generate(
        self,
        prompt: str | Sequence[Message],
        *,
        max_new_tokens: int = 256,
        stop: Sequence[str] = (),
        options: DecodingOptions | None = None,
    ) -> str:
        """The whole answer to a text or a conversation; see `stream`."""
        pieces = self.stream(prompt, max_new_tokens=max_new_tokens, stop=stop, options=options)
        return "".join(piece.text for piece in pieces)


def _check_width(graph: Path, found: int, promised: int) -> None:
    require(found == promised, f"{graph}: logits must be {promised} wide", got=found, remedy="export the bundle again")
