"""Slots: the models of one answer. After an answer, its slot is kept for a prompt that continues it."""

import threading
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass

from edgedraft.runtime.base.errors import EdgedraftError
from edgedraft.runtime.core.model import LanguageModel, ModelFactory
from edgedraft.runtime.core.pass_times import PairPassTimes
from edgedraft.runtime.core.plan import DecodingPlan
from edgedraft.runtime.core.sources import SourceFactory
from edgedraft.runtime.core.token_drafter import TokenSource
from edgedraft.runtime.core.verify import accepted_prefix

IDLE_SLOTS = 2


@dataclass(frozen=True, kw_only=True, slots=True, eq=False)
class Slot:
    """Target and source of drafts with their caches, and measured pass times. Used by one answer at a time."""

    target: LanguageModel
    source: TokenSource
    pass_times: PairPassTimes

    def clear(self) -> None:
        """Clear both caches."""
        self.target.rewind(0)
        self.source.rewind(0)


class SlotPool:
    """Lends slots, first the idle one that shares the longest prefix with the prompt; thread-safe.

    Answers that run at once get different slots; up to ``IDLE_SLOTS`` idle slots are kept, or as many as `keep` says.
    """

    def __init__(self, target: ModelFactory, sources: SourceFactory, plan: DecodingPlan) -> None:
        self._graphs: tuple[ModelFactory, SourceFactory] | None = (target, sources)
        self._plan = plan
        self._most_idle = IDLE_SLOTS
        self._idle: list[Slot] = []
        self._lock = threading.Lock()

    def keep(self, count: int) -> None:
        """Keep up to ``count`` idle slots."""
        self._most_idle = count

    def open_targets_with(self, targets: ModelFactory) -> None:
        """Open the targets of new slots with ``targets``, and let go of the idle slots that there are."""
        with self._lock:
            if self._graphs is not None:
                self._graphs, self._idle = (targets, self._graphs[1]), []

    def close(self) -> None:
        """Lend no more slots, and let go of the graphs; answers that have begun go on to their end."""
        with self._lock:
            self._graphs, self._idle, self._most_idle = None, [], 0

    @contextmanager
    def taken(self, prompt_ids: Sequence[int] = ()) -> Iterator[Slot]:
        """Lend a slot for one answer to ``prompt_ids``.

        An error in the block clears the slot; stopping an answer early does not.
        """
        with self._lock:
            shared = [accepted_prefix(slot.target.token_ids, prompt_ids) for slot in self._idle]
            slot = self._idle.pop(shared.index(max(shared))) if shared else None
        slot = slot or self._new_slot()
        try:
            yield slot
        except GeneratorExit:
            raise
        except BaseException:
            slot.clear()
            raise
        finally:
            with self._lock:
                self._idle = [*self._idle, slot][-self._most_idle :] if self._most_idle else []

    def _new_slot(self) -> Slot:
        graphs = self._graphs
        if graphs is None:
            raise EdgedraftError("the bundle is closed", remedy="open it again")
        target, sources = graphs
        pass_times = PairPassTimes.planned(self._plan)
        return Slot(target=target.new_model(), source=sources.new_source(), pass_times=pass_times)
