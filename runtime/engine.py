"""Engine: one bundle, opened. It owns the sessions and starts answers on them."""

import contextlib
import logging
import time
from collections.abc import Callable, Collection, Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace
from pathlib import Path
from typing import TypedDict, Unpack

from edgedraft.runtime.base.cores import usable_cores
from edgedraft.runtime.base.kernel_names import PairKernels
from edgedraft.runtime.base.one_folder import reading_one_folder
from edgedraft.runtime.base.provider_names import CPU
from edgedraft.runtime.base.records import require
from edgedraft.runtime.bundle.reading import Bundle, read_bundle
from edgedraft.runtime.core.batch import JointBatch
from edgedraft.runtime.core.decoding import speculative_rounds
from edgedraft.runtime.core.limits import Limits, limited
from edgedraft.runtime.core.model import CONTEXT_LENGTH, AnswerCancelledError, LanguageModel
from edgedraft.runtime.core.options import DecodingOptions, chosen_policy, with_keywords
from edgedraft.runtime.core.pacing import Pacing
from edgedraft.runtime.core.policies import PolicyChoice, PolicyParts, build_drafter
from edgedraft.runtime.core.rounds import Round
from edgedraft.runtime.onnx.bundle_drafter import check_widths, open_drafter
from edgedraft.runtime.onnx.planned_kernels import as_planned, exact_mode_may_be_free, opened_remark, padded_graph
from edgedraft.runtime.onnx.session import OnnxGraph, SessionSettings
from edgedraft.runtime.slots import SlotPool
from edgedraft.runtime.text.answer_stream import AnswerStream, Cancellation
from edgedraft.runtime.text.codec import FittedPrompt, TextCodec, fit_conversation
from edgedraft.runtime.text.messages import Message
from edgedraft.runtime.text.streaming import Answer, Meter, TextStream, answer_pieces, joined, stop_texts
from edgedraft.runtime.text.tool_calls import separated, shows_tool_calls

_LOG = logging.getLogger(__name__)

_UNSHARED = Pacing(clock=time.perf_counter)

BundleChange = Callable[[Bundle], Bundle]
"""Returns the bundle to open in place of the one that was read."""


def unchanged(bundle: Bundle) -> Bundle:
    """Return the bundle as it was read."""
    return bundle


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
    tools: Sequence[Message]


class Engine:
    """The target and the trimmed drafter of a bundle, ready to decode; several answers may run at once.

    Used with ``with``, it is closed at the end of the block. ``exactness`` says whether the target runs in exact mode
    and, if not, why.
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
        self._target_graph: OnnxGraph | None = target_graph
        self._drafter_graph: OnnxGraph | None = opened.graph
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
        tuned: BundleChange = unchanged,
    ) -> "Engine":
        """Check the bundle in ``path`` and open it; `edgedraft.load` documents the options.

        ``tuned`` may give the bundle another plan, such as the one that `edgedraft tune` made on this device.
        """
        bundle = tuned(read_bundle(path, verify_hashes=verify_hashes, hub_links=True))
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

    def close(self) -> None:
        """Give the models' memory back, once answers that have begun have ended; then nothing can be asked any more."""
        self.slots.close()
        self._target_graph = self._drafter_graph = None

    def __enter__(self) -> "Engine":
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    @property
    def cache_bytes_per_token(self) -> int:
        """Return the bytes of keys and values that a token takes in one slot, in both models."""
        graphs = [graph for graph in (self._target_graph, self._drafter_graph) if graph is not None]
        return sum(graph.cache_bytes_per_token for graph in graphs)

    def limit_context(self, context_length: int) -> None:
        """Give slots that are opened from now on a shorter context, of ``context_length`` tokens."""
        self.settings = _limited(self.settings, context_length)
        self.drafter_settings = _limited(self.drafter_settings, context_length)
        for graph in (self._target_graph, self._drafter_graph):
            if graph is not None:
                graph.settings = _limited(graph.settings, context_length)

    def inexact_target(self) -> LanguageModel | None:
        """Return another target without exact mode, with its own cache; None if exact mode is off or costs nothing."""
        graph = self._target_graph
        costs = graph is not None and self.exactness.exact and not graph.exact_mode_is_free
        return graph.new_model(exact=False) if graph is not None and costs else None

    def target_batch(self, rows: int) -> JointBatch | None:
        """Return ``rows`` targets whose passes may be shared; None where that would change texts."""
        return None if self._target_graph is None else self._target_graph.joint_batch(rows)

    @property
    def kernels_remark(self) -> str | None:
        """Return one line if the plan was timed with other kernels, or if faster ones can run here; else None."""
        return opened_remark(self.bundle, (self.settings, self.drafter_settings), self.kernels)

    def limits(self, max_new_tokens: int) -> Limits:
        """Return the limits of an answer: ``max_new_tokens`` and this bundle's end-of-turn ids."""
        return Limits(max_new_tokens=max_new_tokens, end_token_ids=self.bundle.manifest.end_token_ids)

    def fit(self, messages: Sequence[Message], max_new_tokens: int, tools: Sequence[Message] = ()) -> FittedPrompt:
        """Return a conversation's tokens, without its oldest messages if they leave the answer too little space.

        The answer gets ``max_new_tokens`` or a quarter of the context, whichever is less.
        """
        context = self.settings.context_length
        return fit_conversation(self.codec, messages, context - max(min(max_new_tokens, context // 4), 1), tools)

    def rounds(
        self,
        prompt_ids: Sequence[int],
        limits: Limits,
        options: DecodingOptions | None = None,
        pacing: Pacing = _UNSHARED,
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
        return self._answer(prompt_ids, limits, options, choice, pacing)

    def pieces(
        self,
        prompt_ids: Sequence[int],
        *,
        max_new_tokens: int = 256,
        stop: str | Sequence[str] | None = (),
        options: DecodingOptions | None = None,
        pacing: Pacing = _UNSHARED,
    ) -> AnswerStream:
        """Answer token ids piece by piece; `stream` is this for a text or a conversation."""
        limits, cancellation = self.limits(max_new_tokens), Cancellation()
        stream = TextStream(self.codec, stop_texts(stop))
        meter = Meter(len(prompt_ids), time.perf_counter)
        pacing = replace(pacing, before_pass=cancellation.before(pacing.before_pass))
        rounds = self.rounds(prompt_ids, limits, options, pacing)
        return AnswerStream(answer_pieces(rounds, stream, limits.end_token_ids, meter), cancellation)

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
        tools: Sequence[Message] = (),
    ) -> AnswerStream:
        """Answer a text or a conversation piece by piece, each saying whether it was drafted.

        Decoding is greedy unless ``temperature`` is above 0; ``top_p``, ``top_k`` and ``min_p`` restrict sampling.
        ``options`` hold all other settings; a setting given there cannot be given as a keyword, too. ``tools`` are
        functions that the model may call, as JSON schemas. The last piece carries ``finish_reason`` and ``usage``.
        `AnswerStream.cancel` ends the answer from any thread, and ``async for`` reads it, too. Raises `EdgedraftError`
        before decoding if the prompt does not fit or two settings contradict each other.

        >>> for piece in engine.stream("Reverse a list in Python."):  # doctest: +SKIP
        ...     print(piece.text, end="")
        """
        messages = [{"role": "user", "content": prompt}] if isinstance(prompt, str) else prompt
        drawing = {"temperature": temperature, "top_p": top_p, "top_k": top_k, "min_p": min_p}
        return self.pieces(
            self.fit(messages, max_new_tokens, tools).token_ids,
            max_new_tokens=max_new_tokens,
            stop=stop,
            options=with_keywords(options or DecodingOptions(), drawing, seed),
        )

    def generate(self, prompt: str | Sequence[Message], **keywords: "Unpack[AnswerKeywords]") -> Answer:
        """Return the whole answer to a text or a conversation.

        The keywords are those of `stream`: ``max_new_tokens``, ``stop``, ``temperature``, ``top_p``, ``top_k``,
        ``min_p``, ``seed``, ``options`` and ``tools``.

        >>> print(engine.generate("Reverse a list in Python.", temperature=0.8, seed=1))  # doctest: +SKIP
        """
        return joined(self.stream(prompt, **keywords))

    def generate_all(
        self, prompts: Sequence[str | Sequence[Message]], *, at_once: int = 2, **keywords: "Unpack[AnswerKeywords]"
    ) -> list[Answer]:
        """Return the answers to several prompts, in their order, ``at_once`` of them decoded at a time.

        The keywords are those of `generate`.

        >>> first, second = engine.generate_all(["Reverse a list.", "Sort a list."])  # doctest: +SKIP
        """
        require(at_once >= 1, "at_once must be at least 1", got=at_once)
        with ThreadPoolExecutor(max_workers=at_once) as pool:
            return list(pool.map(lambda prompt: self.generate(prompt, **keywords), prompts))

    def chat(self, messages: Sequence[Message], **keywords: "Unpack[AnswerKeywords]") -> Message:
        """Return the assistant's next message; only tokens that are not in the cache yet are processed.

        The keywords are those of `generate`. `fit` shortens long conversations. With ``tools``, calls that the model
        writes as its template shows them (``<tool_call>``) are in ``tool_calls``, with arguments as JSON text.

        >>> messages = [{"role": "user", "content": "Reverse a list in Python."}]
        >>> messages.append(engine.chat(messages))  # doctest: +SKIP
        """
        text = self.generate(messages, **keywords).text
        if not keywords.get("tools") or not shows_tool_calls(self.codec.chat.source):
            return {"role": "assistant", "content": text}
        content, calls = separated(text)
        called = {"tool_calls": [call.json_form() for call in calls]} if calls else {}
        return {"role": "assistant", "content": content or None, **called}

    def policy_of(self, options: DecodingOptions) -> PolicyChoice:
        """Return the draft policy that follows from ``options`` and the plan.

        Raises `EdgedraftError` for contradicting options.
        """
        return chosen_policy(options, self.bundle.manifest.plan)

    def _check_ids(self, what: str, token_ids: Collection[int]) -> None:
        vocab_size = self.bundle.manifest.target_vocab_size
        wrong = [token_id for token_id in token_ids if not 0 <= token_id < vocab_size]
        require(not wrong, f"{what}: token ids must lie in 0..{vocab_size - 1}", got=wrong[:1])

    def _answer(
        self,
        prompt_ids: Sequence[int],
        limits: Limits,
        options: DecodingOptions,
        choice: PolicyChoice,
        pacing: Pacing,
    ) -> Iterator[Round]:
        """Yield the rounds of one answer; a slot is reserved at the first round and returned at the end."""
        with self.slots.taken(prompt_ids) as slot, contextlib.suppress(AnswerCancelledError):
            parts = PolicyParts(source=slot.source, pass_times=slot.pass_times, clock=pacing.clock)
            rounds = speculative_rounds(
                slot.target,
                build_drafter(choice, parts),
                prompt_ids,
                options.method(),
                log_probs=options.log_probs,
                top_log_probs=options.top_log_probs,
                clock=pacing.clock,
                before_pass=pacing.before_pass,
            )
            yield from limited(rounds, limits)


def _limited(settings: SessionSettings, context_length: int) -> SessionSettings:
    return replace(settings, context_length=min(settings.context_length, context_length))
