"""Slots: the models of one answer. A finished answer's slot waits for the prompt that goes on from it."""

import threading
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass

from edgedraft.runtime.core.model import LanguageModel, ModelFactory
from edgedraft.runtime.core.pass_times import PairPassTimes
from edgedraft.runtime.core.plan import DecodingPlan
from edgedraft.runtime.core.verify import accepted_prefix

IDLE_SLOTS = 2


@dataclass(frozen=True, kw_only=True, slots=True, eq=False)
class Slot:
    """Target and drafter with their memories, and the pass times seen with them. Used by one answer at a time."""

    target: LanguageModel
    drafter: LanguageModel
    pass_times: PairPassTimes

    def clear(self) -> None:
        """Forget everything read."""
        self.target.rewind(0)
        self.drafter.rewind(0)


class SlotPool:
    """Hands out slots, the idle one that shares the longest beginning with the prompt first; thread-safe.

    Answers that run at once get slots of their own; ``IDLE_SLOTS`` are kept for later.
    """

    def __init__(self, target: ModelFactory, drafter: ModelFactory, plan: DecodingPlan) -> None:
        self._target = target
        self._drafter = drafter
        self._plan = plan
        self._idle: list[Slot] = []
        self._lock = threading.Lock()

    @contextmanager
    def taken(self, prompt_ids: Sequence[int] = ()) -> Iterator[Slot]:
        """Lend a slot for one answer to ``prompt_ids``.

        An error on the way empties the slot; leaving an answer early does not.
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
                self._idle = [*self._idle, slot][-IDLE_SLOTS:]

    def _new_slot(self) -> Slot:
        pass_times = PairPassTimes.planned(self._plan)
        return Slot(target=self._target.new_model(), drafter=self._drafter.new_model(), pass_times=pass_times)
