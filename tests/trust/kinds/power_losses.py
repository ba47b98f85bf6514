"""Power losses: after any operation, with any part of the unsynced data lost, the old or the new output is there."""

import shutil
from collections.abc import Iterator
from pathlib import Path
from random import Random

from tests.trust.frame import Trial, Verdict, kind
from tests.trust.watching.commands import played
from tests.trust.watching.power import Disk, losing_power
from tests.trust.watching.scenes import (
    Finished,
    Scene,
    Stage,
    require_old_or_new,
    require_resumed,
    require_users_files,
)
from tests.trust.watching.scenes import stage as shared_stage


@kind("power-losses", promise="after a power loss the old or the new is there, and the command finishes", trials=1000)
def power_losses(folder: Path) -> Iterator[Trial]:
    """Stop each command at any operation and write one possible state of the disk."""
    stage = shared_stage()

    def trial(number: int, rng: Random) -> Verdict:
        scene, _ = played(number)
        known = stage.finished(scene)
        return lose_power(stage, scene, known, rng.randrange(len(known.outcome.events) + 1), rng)

    yield trial


def lose_power(stage: Stage, scene: Scene, known: Finished, at: int, rng: Random, skipped: str = "") -> Verdict:
    """Run the scene, lose power at change ``at`` (or at the end), and look at what is left."""
    where, when = stage.set(scene), f"power lost at change {at} of {len(known.outcome.events)}"
    disk = Disk(where)
    stage.run(scene, where, losing_power(disk, at, skipped))
    left = stage.room / "left"
    shutil.rmtree(left, ignore_errors=True)
    disk.after_power_loss(left, rng)
    # Commands name their folder: what is left has to lie where it was.
    shutil.rmtree(where)
    left.rename(where)
    require_old_or_new(where, scene, known, when)
    require_users_files(where / scene.output, known.before)
    require_resumed(stage, where, scene, known, when)
    return Verdict.HELD


KINDS = (power_losses,)
