"""Engine: one bundle, opened. It owns the sessions and starts answers on them."""

import logging
import time
from collections.abc import Collection, Iterator, Mapping, Sequence
from dataclasses import replace
from pathlib import Path
from typing import TypedDict, Unpack

from edgedraft.runtime.base.cores import usable_cores
from edgedraft.runtime.base.kernel_names import PairKernels
from edgedraft.runtime.base.one_folder import reading_one_folder
from edgedraft.runtime.base.provider_names import CPU
from edgedraft.runtime.base.records import require
from edgedraft.runtime.bundle.reading import Bundle, read_bundle
from edgedraft.runtime.core.decoding import speculative_rounds
from edgedraft.runtime.core.limits import Limits, limited
from edgedraft.runtime.core.model import CONTEXT_LENGTH, LanguageModel
from edgedraft.runtime.core.options import DecodingOptions
from edgedraft.runtime.core.policies import (
    ADAPTIVE,
    CONFIDENT,
    P_MIN,
    PLAIN,
    PolicyChoice,
    PolicyParts,
    build_drafter,
)
from edgedraft.runtime.core.rounds import Round
from edgedraft.runtime.core.sampling import SamplingSettings
from edgedraft.runtime.onnx.bundle_drafter import check_widths, open_drafter
from edgedraft.runtime.onnx.planned_kernels import as_planned, exact_mode_may_be_free, opened_remark, padded_graph
from edgedraft.runtime.onnx.session import OnnxGraph, SessionSettings
from edgedraft.runtime.slots import SlotPool
from edgedraft.runtime.text.codec import FittedPrompt, TextCodec, fit_conversation
from edgedraft.runtime.text.messages import Message
from edgedraft.runtime.text.streaming import Answer, Meter, TextPiece, TextStream, answer_pieces, joined, stop_texts

_LOG = logging.getLogger(__name__)

_GIVE_ONE = "give each setting in one place"
_OTHER_POLICY = "leave it out, choose another policy, or ask to speculate where the plan does not"


__all__ = ["AnswerKeywords", "DecodingOptions", "Engine"]


class AnswerKeywords(TypedDict, total=False):
    """The keywords of `Engine.stream`, for the methods that pass them on to it."""

    max_new_tokens: int
    stop: str | Sequence[str] | None
    temperature: float | None
    top_p: float | None
    top_k: int | None
    min_p: float | None
    seed: int | None
    options: DecodingOptions | None


class Engine:
    """The target and the trimmed drafter of a bundle, ready to decode; several answers may run at once.

    ``exactness`` says whether the target runs in exact mode and, if not, why.
    """

    def __init__(self, bundle: Bundle, target: SessionSettings, drafter: SessionSettings) -> None:
        manifest = bundle.manifest
        self.bundle = bundle
        self.settings, self.drafter_settings = target, drafter
        self.codec = TextCodec(bundle.path)
        planned = manifest.plan.kernels
        target_graph = OnnxGraph(bundle.target_graph, as_planned(target, bundle.target_graph, planned.target))
        opened = open_drafter(bundle, drafter)
        check_widths(bundle, target_graph, opened)
        self.kernels = PairKernels(target=target_graph.kernels.name, drafter=opened.graph.kernels.name)
        self.exactness = replace(target_graph.exactness, fp32=manifest.target.precision == "fp32")
        self.plan = manifest.plan
        if self.exactness.exact and not target_graph.exact_mode_is_free:
            self.plan = manifest.plan.in_exact_mode()
        self._target_graph = target_graph
        self.slots = SlotPool(
            padded_graph(target_graph, self.plan.target_pass_seconds, manifest.provider, planned.target),
            opened.sources,
            self.plan,
        )
        for role, settings, kernels in (
            ("target", target, self.kernels.target),
            ("drafter", drafter, self.kernels.drafter),
        ):
            said = "%s on %s with %s kernels, %d threads, context %d"
            _LOG.info(said, role, settings.provider, kernels, settings.threads, settings.context_length)
        _LOG.info("texts: %s", self.exactness.label)

    @classmethod
    @reading_one_folder
    def open(
        cls,
        path: Path,
        *,
        threads: int | None = None,
        context_length: int = CONTEXT_LENGTH,
        verify_hashes: bool = True,
        target_provider: str = CPU,
        drafter_provider: str = CPU,
        exact: bool | None = None,
    ) -> "Engine":
        """Check the bundle in ``path`` and open it; `edgedraft.load` documents the options."""
        bundle = read_bundle(path, verify_hashes=verify_hashes)
        manifest, plan = bundle.manifest, bundle.manifest.plan
        settings = SessionSettings(
            # A plan for a larger machine must not start more threads than can run here.
            threads=min(plan.threads, usable_cores()) if threads is None else threads,
            context_length=min(context_length, manifest.context_length),
            provider=target_provider,
            exact=exact,
        )
        if not (
            plan.exact_is_cheap or exact or exact_mode_may_be_free(settings, bundle.target_graph, plan.kernels.target)
        ):
            settings = replace(settings, exact=False)
        # A drafter whose context is shorter drafts nothing behind it.
        longest = min(settings.context_length, manifest.drafter_context_length or settings.context_length)
        # Whatever is drafted, only the target decides a text.
        drafter = replace(settings, provider=drafter_provider, context_length=longest, exact=False)
        return cls(bundle, settings, drafter)

    def inexact_target(self) -> LanguageModel | None:
        """Return another target without exact mode, with its own cache; None if exact mode is off or costs nothing."""
        costs = self.exactness.exact and not self._target_graph.exact_mode_is_free
        return self._target_graph.new_model(exact=False) if costs else None

    @property
    def kernels_remark(self) -> str | None:
        """Return one line if the plan was timed with other kernels, or if faster ones can run here; else None."""
        return opened_remark(self.bundle, (self.settings, self.drafter_settings), self.kernels)

    def limits(self, max_new_tokens: int) -> Limits:
        """Return the limits of an answer: ``max_new_tokens`` and this bundle's end-of-turn ids."""
        return Limits(max_new_tokens=max_new_tokens, end_token_ids=self.bundle.manifest.end_token_ids)

    def fit(self, messages: Sequence[Message], max_new_tokens: int) -> FittedPrompt:
        """Return a conversation's tokens, without its oldest messages if they leave the answer too little space.

        The answer gets ``max_new_tokens`` or a quarter of the context, whichever is less.
        """
        context = self.settings.context_length
        return fit_conversation(self.codec, messages, context - max(min(max_new_tokens, context // 4), 1))

    def rounds(
        self,
        prompt_ids: Sequence[int],
        limits: Limits,
        options: DecodingOptions | None = None,
    ) -> Iterator[Round]:
        """Answer ``prompt_ids``; without ``options``, greedily and by the plan.

        A prefix of the prompt that is still in the cache of an idle slot is not processed again. Close the iterator to
        cancel: the engine stays usable, and the slot keeps the committed tokens.
        """
        options = options or DecodingOptions()
        context = self.settings.context_length
        require(len(prompt_ids) > 0, "the prompt holds no token", remedy="write a prompt")
        require(
            len(prompt_ids) < context,
            f"the prompt must be shorter than the context of {context} tokens",
            got=len(prompt_ids),
            remedy="shorten the prompt or open the bundle with a larger context",
        )
        self._check_ids("prompt", prompt_ids)
        self._check_ids("logit_bias", options.sampling.logit_bias if options.sampling else ())
        choice = self.policy_of(options)
        _LOG.info("answer to %d tokens: policy %s, draft length %d", len(prompt_ids), choice.name, choice.draft_length)
        return self._answer(prompt_ids, limits, options, choice)

    def pieces(
        self,
        prompt_ids: Sequence[int],
        *,
        max_new_tokens: int = 256,
        stop: str | Sequence[str] | None = (),
        options: DecodingOptions | None = None,
    ) -> Iterator[TextPiece]:
        """Answer token ids piece by piece; `stream` is this for a text or a conversation."""
        limits = self.limits(max_new_tokens)
        stream = TextStream(self.codec, stop_texts(stop))
        meter = Meter(len(prompt_ids), time.perf_counter)
        return answer_pieces(self.rounds(prompt_ids, limits, options), stream, limits.end_token_ids, meter)

    def stream(
        self,
        prompt: str | Sequence[Message],
        *,
        max_new_tokens: int = 256,
        stop: str | Sequence[str] | None = (),
        temperature: float | None = None,
        top_p: float | None = None,
        top_k: int | None = None,
        min_p: float | None = None,
        seed: int | None = None,
        options: DecodingOptions | None = None,
    ) -> Iterator[TextPiece]:
        """Answer a text or a conversation piece by piece, each saying whether it was drafted.

        Decoding is greedy unless ``temperature`` is above 0; ``top_p``, ``top_k`` and ``min_p`` restrict sampling.
        ``options`` hold all other settings; a setting given there cannot be given as a keyword, too. The last piece
        carries ``finish_reason`` and ``usage``. Close the iterator to cancel. Raises `EdgedraftError` before decoding
        if the prompt does not fit or two settings contradict each other.

        >>> for piece in engine.stream("Reverse a list in Python."):  # doctest: +SKIP
        ...     print(piece.text, end="")
        """
        messages = [{"role": "user", "content": prompt}] if isinstance(prompt, str) else prompt
        drawing = {"temperature": temperature, "top_p": top_p, "top_k": top_k, "min_p": min_p}
        return self.pieces(
            self.fit(messages, max_new_tokens).token_ids,
            max_new_tokens=max_new_tokens,
            stop=stop,
            options=_with_keywords(options or DecodingOptions(), drawing, seed),
        )

    def generate(self, prompt: str | Sequence[Message], **keywords: "Unpack[AnswerKeywords]") -> Answer:
        """Return the whole answer to a text or a conversation.

        The keywords are those of `stream`: ``max_new_tokens``, ``stop``, ``temperature``, ``top_p``, ``top_k``,
        ``min_p``, ``seed`` and ``options``.

        >>> print(engine.generate("Reverse a list in Python.", temperature=0.8, seed=1))  # doctest: +SKIP
        """
        return joined(self.stream(prompt, **keywords))

    def chat(self, messages: Sequence[Message], **keywords: "Unpack[AnswerKeywords]") -> Message:
        """Return the assistant's next message; only tokens that are not in the cache yet are processed.

        The keywords are those of `generate`. `fit` shortens long conversations.

        >>> messages = [{"role": "user", "content": "Reverse a list in Python."}]
        >>> messages.append(engine.chat(messages))  # doctest: +SKIP
        """
        return {"role": "assistant", "content": self.generate(messages, **keywords).text}

    def policy_of(self, options: DecodingOptions) -> PolicyChoice:
        """Return the draft policy that follows from ``options`` and the plan.

        Raises `EdgedraftError` for contradicting options.
        """
        plan = self.bundle.manifest.plan
        name = options.policy
        if name is None:
            name = options.drafting
            planned = plan.worth_trying if name == ADAPTIVE else plan.speculate
            name = name if (planned if options.speculate is None else options.speculate) else PLAIN
        elif options.speculate is not None:
            require(
                options.speculate == (name != PLAIN),
                "speculate and policy must agree",
                got=f"speculate {options.speculate} and policy {name}",
                remedy="give one of the two",
            )
        require(
            options.draft_length is None or name not in (PLAIN, ADAPTIVE),
            f"the {name} policy takes no draft length",
            got=options.draft_length,
            remedy=_OTHER_POLICY,
        )
        require(
            options.p_min is None or name == CONFIDENT,
            f"the {name} policy takes no p_min",
            got=options.p_min,
            remedy=_OTHER_POLICY,
        )
        length = plan.draft_length if options.draft_length is None else options.draft_length
        return PolicyChoice(name=name, draft_length=length, p_min=P_MIN if options.p_min is None else options.p_min)

    def _check_ids(self, what: str, token_ids: Collection[int]) -> None:
        vocab_size = self.bundle.manifest.target_vocab_size
        wrong = [token_id for token_id in token_ids if not 0 <= token_id < vocab_size]
        require(not wrong, f"{what}: token ids must lie in 0..{vocab_size - 1}", got=wrong[:1])

    def _answer(
        self, prompt_ids: Sequence[int], limits: Limits, options: DecodingOptions, choice: PolicyChoice
    ) -> Iterator[Round]:
        """Yield the rounds of one answer; a slot is reserved at the first round and returned at the end."""
        with self.slots.taken(prompt_ids) as slot:
            parts = PolicyParts(source=slot.source, pass_times=slot.pass_times, clock=time.perf_counter)
            rounds = speculative_rounds(
                slot.target,
                build_drafter(choice, parts),
                prompt_ids,
                options.method(),
                log_probs=options.log_probs,
                clock=time.perf_counter,
            )
            yield from limited(rounds, limits)


def _with_keywords(options: DecodingOptions, drawing: Mapping[str, float | None], seed: int | None) -> DecodingOptions:
    """Return ``options`` with the keywords added; refuse settings given twice, and filters with greedy decoding."""
    given = {name: value for name, value in drawing.items() if value is not None}
    twice = [*given] if options.sampling is not None else []
    twice += ["seed"] if seed is not None and options.seed is not None else []
    require(not twice, "options and keywords must not both say how to draw", got=", ".join(twice), remedy=_GIVE_ONE)
    if seed is not None:
        options = replace(options, seed=seed)
    if not given:
        return options
    temperature = given.pop("temperature", 0.0)
    settings = SamplingSettings(
        temperature=temperature,
        top_p=given.get("top_p", 1.0),
        top_k=int(given.get("top_k", 0)),
        min_p=given.get("min_p", 0.0),
    )
    drawn = temperature > 0 or not given
    require(drawn, f"{', '.join(given)}: only drawn tokens are filtered", remedy="give a temperature above 0")
    return replace(options, sampling=settings if temperature > 0 else None)
