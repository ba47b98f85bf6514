"""Scenes, the folder in which they are played, and what may be found after a fault."""

import atexit
import shutil
import tempfile
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from functools import cache
from pathlib import Path

from tests.trust.subjects import export_arguments, make_counts_data, make_pair, make_wheels, tree
from tests.trust.watching.watcher import Decide, Job, Outcome, Watcher, watcher

COMMAND = "tests.trust.watching.jobs:command"
USERS = {"notes.txt": "years of work", "photos/a.txt": "a photo", "empty/.keep": ""}
"""Files of the user in a bundle's folder."""


@dataclass(frozen=True, kw_only=True, slots=True)
class Scene:
    """A command whose output is ``folder``/``output``; ``arguments`` returns its command line for the folder.

    ``before`` prepares the folder, and ``run`` is the job. ``read`` returns the parts of the output that are compared,
    by name. With ``piecemeal`` each part is old or new by itself; else all are. With ``refuses_itself``, the command
    refuses to run again once it has finished.
    """

    name: str
    arguments: Callable[[Path], Sequence[str]]
    output: str = "place/out"
    before: Callable[[Path], None] = lambda folder: None
    run: str = COMMAND
    read: Callable[[Path], dict[str, str]] = tree
    piecemeal: bool = False
    refuses_itself: bool = False


class Stage:
    """A folder in which every scene can be prepared repeatedly, from one prepared copy."""

    def __init__(self, room: Path, watcher: Watcher) -> None:
        self.room, self.watcher = room, watcher
        self._finished: dict[str, Finished] = {}
        self._prepared = room / "prepared"
        make_pair(self._prepared / "pair")
        make_counts_data(self._prepared / "texts.jsonl")
        make_wheels(self._prepared / "wheels")
        for size, name in ((128, "bundle"), (64, "small")):
            self._must(export_arguments(self._prepared / "pair", self._prepared / "cache", self._prepared / name, size))
        places = ["--cache", str(self._prepared / "cache"), "--output", str(self._prepared / "counts")]
        target = str(self._prepared / "pair" / "target")
        self._must(["calibrate", "count", str(self._prepared / "texts.jsonl"), "--target", target, *places])

    def _must(self, arguments: Sequence[str]) -> None:
        outcome = self.watcher.run(Job(run=COMMAND, arguments=arguments, folder=self.room))
        assert outcome.code == 0, outcome.output

    def set_again(self) -> Path:
        """Return a fresh folder: a pair, a warm cache, a bundle, a small one of the same pair, and an empty place."""
        folder = self.room / "set"
        shutil.rmtree(folder, ignore_errors=True)
        shutil.copytree(self._prepared, folder)
        (folder / "place").mkdir()
        return folder

    def set(self, scene: Scene) -> Path:
        """Return a fresh folder with what the scene has before its command."""
        folder = self.set_again()
        scene.before(folder)
        return folder

    def run(self, scene: Scene, folder: Path, decide: Decide | None = None) -> Outcome:
        """Run the scene's command in the folder."""
        job = Job(run=scene.run, arguments=scene.arguments(folder), folder=folder)
        return self.watcher.run(job) if decide is None else self.watcher.run(job, decide)

    def finished(self, scene: Scene) -> "Finished":
        """Return the result of the scene's command without any fault."""
        if scene.name not in self._finished:
            self._finished[scene.name] = self._undisturbed(scene)
        return self._finished[scene.name]

    def _undisturbed(self, scene: Scene) -> "Finished":
        folder = self.set(scene)
        before = scene.read(folder / scene.output)
        outcome = self.run(scene, folder)
        assert outcome.code == 0, f"{scene.name}: {outcome.output}"
        after = scene.read(folder / scene.output)
        assert after != before, f"{scene.name} changes nothing"
        require_no_litter(folder)
        require_users_files(folder / scene.output, before)
        return Finished(before=before, after=after, outcome=outcome)


@dataclass(frozen=True, kw_only=True, slots=True)
class Finished:
    """The output's files before and after an undisturbed run, and the run itself."""

    before: dict[str, str]
    after: dict[str, str]
    outcome: Outcome


@cache
def stage() -> Stage:
    """Return the stage that all kinds share; it is prepared on first use and removed when this process ends."""
    room = tempfile.TemporaryDirectory(prefix="trust-stage-")
    atexit.register(room.cleanup)
    return Stage(Path(room.name), watcher())


def require_old_or_new(folder: Path, scene: Scene, finished: Finished, when: str) -> None:
    """Fail unless the output is the old one or the new one, to the byte."""
    found = scene.read(folder / scene.output)
    if found in (finished.before, finished.after) or (scene.piecemeal and _mixed(found, finished)):
        return
    nearest = finished.after if found.keys() == finished.after.keys() else finished.before
    differing = sorted(name for name in {*found, *nearest} if found.get(name) != nearest.get(name))
    raise AssertionError(f"{scene.name}, {when}: neither old nor new: {', '.join(differing[:3]) or 'nothing there'}")


def _mixed(found: dict[str, str], finished: Finished) -> bool:
    """Return whether every part that may be there is the old or the new one."""
    known = {*finished.before, *finished.after}
    stays = {name: total for name, total in found.items() if not _is_litter(name)}
    return stays.keys() <= known and all(
        stays.get(name) in (finished.before.get(name), finished.after.get(name)) for name in known
    )


def _is_litter(name: str) -> bool:
    return ".edgedraft-" in name


def require_resumed(on: Stage, folder: Path, scene: Scene, finished: Finished, when: str) -> None:
    """Fail unless the same command now finishes the work, byte for byte, and leaves nothing else behind."""
    done = scene.read(folder / scene.output) == finished.after
    outcome = on.run(scene, folder)
    right = outcome.code == 0 or (outcome.code == 2 and done and scene.refuses_itself)
    assert right, f"{scene.name}, {when}, run again: exit {outcome.code}: {outcome.last_line}"
    assert scene.read(folder / scene.output) == finished.after, f"{scene.name}, {when}: another result when run again"
    require_no_litter(folder)


def require_no_litter(folder: Path) -> None:
    """Fail if a temporary file or folder is left anywhere."""
    left = [each for each in folder.rglob("*") if _is_litter(each.name)]
    assert not left, f"left behind: {left[0]}"


def require_users_files(output: Path, before: dict[str, str]) -> None:
    """Fail if a file of the user is missing or changed."""
    now = tree(output) if output.exists() else {}
    lost = [name for name in USERS if name in before and now.get(name) != before[name]]
    assert not lost, f"the user's {', '.join(lost)}: gone or changed"
