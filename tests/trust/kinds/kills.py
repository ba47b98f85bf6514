"""Kills and full disks at every file operation of a writing command."""

import errno
import math
from collections.abc import Iterator
from pathlib import Path
from random import Random

from tests.trust.frame import Trial, Verdict, kind
from tests.trust.watching.commands import played
from tests.trust.watching.scenes import (
    require_no_litter,
    require_old_or_new,
    require_resumed,
    require_users_files,
)
from tests.trust.watching.scenes import stage as shared_stage
from tests.trust.watching.watcher import GO, KILL, Decide, Decision, Event

_NO_SWAP = Decision("e", errno.EINVAL)


@kind("kills", promise="a kill at any change leaves the old or the new, and the command can be run again", trials=1000)
def kills(folder: Path) -> Iterator[Trial]:
    """Kill each command at each of its file operations, some within a write or without exchanging names."""
    stage = shared_stage()

    def trial(number: int, rng: Random) -> Verdict:
        scene, turn = played(number)
        known = stage.finished(scene)
        changes = len(known.outcome.events)
        at, swaps = spread(turn, changes), rng.random() < 0.5
        where, when = stage.set(scene), f"killed at change {at} of {changes}{'' if swaps else ', without swaps'}"
        outcome = stage.run(scene, where, killing(at, rng, swaps))
        assert outcome.code in (-9, 0), f"{scene.name}, {when}: exit {outcome.code}: {outcome.last_line}"
        if swaps:
            require_old_or_new(where, scene, known, when)
            require_users_files(where / scene.output, known.before)
        require_resumed(stage, where, scene, known, when)
        require_users_files(where / scene.output, known.before)
        return Verdict.HELD

    yield trial


def spread(turn: int, changes: int) -> int:
    """Return the operation of a turn: far from the last turn's, and each one once within ``changes`` turns."""
    step = next(step for step in range(int(0.618 * changes), changes + 2) if step and math.gcd(step, changes) == 1)
    return turn * step % changes


def killing(at: int, rng: Random, swaps: bool) -> Decide:
    """Kill at operation ``at``; a write is done in part. Without ``swaps`` the system cannot exchange names."""

    def decide(event: Event) -> Decision:
        if event.at == at:
            return Decision("t", rng.randrange(event.number + 1)) if event.call == "write" else KILL
        return GO if swaps or event.call != "exchange" else _NO_SWAP

    return decide


@kind("full-disks", promise="a full disk is one line, nothing is lost, and the command finishes with room", trials=500)
def full_disks(folder: Path) -> Iterator[Trial]:
    """Fill the disk after any number of bytes."""
    stage = shared_stage()

    def trial(number: int, rng: Random) -> Verdict:
        scene, _ = played(number)
        known = stage.finished(scene)
        sizes = [event.number for event in known.outcome.events if event.call == "write"]
        room = rng.choice([rng.randrange(sum(sizes)), sum(sizes[: rng.randrange(len(sizes))])])
        where = stage.set(scene)
        outcome = stage.run(scene, where, filling(room, rng.random() < 0.3))
        when = f"{scene.name}, with room for {room} of {sum(sizes)} bytes"
        assert "Traceback" not in outcome.output, f"{when}: {outcome.last_line}"
        assert outcome.code in (0, 2), f"{when}: exit {outcome.code}"
        require_old_or_new(where, scene, known, when)
        require_users_files(where / scene.output, known.before)
        require_no_litter(where)
        require_resumed(stage, where, scene, known, when)
        return Verdict.HELD if outcome.code == 0 else Verdict.REFUSED

    yield trial


def filling(room: int, inodes: bool) -> Decide:
    """Refuse every write after ``room`` bytes; with ``inodes`` also new files and folders."""
    written = 0

    def decide(event: Event) -> Decision:
        nonlocal written
        if event.call == "write":
            written += event.number
        full = event.call == "write" or (inodes and event.call in ("mkdir", "open", "link"))
        return Decision("e", errno.ENOSPC) if full and written > room else GO

    return decide


KINDS = (kills, full_disks)
