"""The writing commands that are tested: the files before, the job, and the files that are allowed afterwards."""

import atexit
import shutil
import tempfile
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from functools import cache
from pathlib import Path

from tests.trust.subjects import export_arguments, make_pair, tree
from tests.trust.watching.watcher import Decide, Job, Outcome, Watcher, watcher

COMMAND = "tests.trust.watching.jobs:command"
USERS = {"notes.txt": "years of work", "photos/a.txt": "a photo", "empty/.keep": ""}
"""Files of the user in a bundle's folder."""


@dataclass(frozen=True, kw_only=True, slots=True)
class Scene:
    """A command whose output is ``folder``/``output``; ``arguments`` returns its command line for the folder.

    ``before`` prepares the folder. With ``refuses_itself``, the command refuses to run again once it has finished.
    """

    name: str
    output: str
    arguments: Callable[[Path], Sequence[str]]
    before: Callable[[Path], None] = lambda folder: None
    refuses_itself: bool = False


class Stage:
    """A folder in which every scene can be prepared repeatedly, from one prepared copy."""

    def __init__(self, room: Path, watcher: Watcher) -> None:
        self.room, self.watcher = room, watcher
        self._finished: dict[str, Finished] = {}
        self._prepared = room / "prepared"
        make_pair(self._prepared / "pair")
        make_counts_data(self._prepared / "texts.jsonl")
        for size, name in ((128, "bundle"), (64, "small")):
            self._must(export_arguments(self._prepared / "pair", self._prepared / "cache", self._prepared / name, size))

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
        job = Job(run=COMMAND, arguments=scene.arguments(folder), folder=folder)
        return self.watcher.run(job) if decide is None else self.watcher.run(job, decide)

    def finished(self, scene: Scene) -> "Finished":
        """Return the result of the scene's command without any fault."""
        if scene.name not in self._finished:
            self._finished[scene.name] = self._undisturbed(scene)
        return self._finished[scene.name]

    def _undisturbed(self, scene: Scene) -> "Finished":
        folder = self.set(scene)
        before = tree(folder / scene.output)
        outcome = self.run(scene, folder)
        assert outcome.code == 0, f"{scene.name}: {outcome.output}"
        after = tree(folder / scene.output)
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
    found = tree(folder / scene.output)
    if found in (finished.before, finished.after):
        return
    nearest = finished.after if found.keys() == finished.after.keys() else finished.before
    differing = sorted(name for name in {*found, *nearest} if found.get(name) != nearest.get(name))
    raise AssertionError(f"{scene.name}, {when}: neither old nor new: {', '.join(differing[:3]) or 'nothing there'}")


def require_resumed(on: Stage, folder: Path, scene: Scene, finished: Finished, when: str) -> None:
    """Fail unless the same command now finishes the work, byte for byte, and leaves nothing else behind."""
    done = tree(folder / scene.output) == finished.after
    outcome = on.run(scene, folder)
    right = outcome.code == 0 or (outcome.code == 2 and done and scene.refuses_itself)
    assert right, f"{scene.name}, {when}, run again: exit {outcome.code}: {outcome.last_line}"
    assert tree(folder / scene.output) == finished.after, f"{scene.name}, {when}: another result when run again"
    require_no_litter(folder)


def require_no_litter(folder: Path) -> None:
    """Fail if a temporary file or folder is left anywhere."""
    left = [each for each in folder.rglob("*") if ".edgedraft-" in each.name]
    assert not left, f"left behind: {left[0]}"


def require_users_files(output: Path, before: dict[str, str]) -> None:
    """Fail if a file of the user is missing or changed."""
    now = tree(output) if output.exists() else {}
    lost = [name for name in USERS if name in before and now.get(name) != before[name]]
    assert not lost, f"the user's {', '.join(lost)}: gone or changed"


def make_counts_data(path: Path) -> None:
    """Write conversations to count."""
    turn = '{"messages": [{"role": "user", "content": "sort"}, {"role": "assistant", "content": "merge the list"}]}\n'
    path.write_text(turn * 40)


def _with_users_files(folder: Path, source: str) -> None:
    """Put a bundle at the output, with the user's files in it."""
    shutil.copytree(folder / source, folder / "place" / "out")
    for name, text in USERS.items():
        file = folder / "place" / "out" / name
        file.parent.mkdir(exist_ok=True)
        file.write_text(text)


def _export(folder: Path, size: int = 128) -> list[str]:
    return export_arguments(folder / "pair", folder / "cache", folder / "place" / "out", size)


def _pair(folder: Path) -> list[str]:
    return _export(folder)[2:8]


def _calibrate(folder: Path) -> list[str]:
    inputs = ["--max-new-tokens", "8", "--cache", str(folder / "cache"), "--threads", "2"]
    return ["calibrate", *_pair(folder), *inputs, "--output", str(folder / "place" / "out")]


def _count(folder: Path) -> list[str]:
    inputs = [str(folder / "texts.jsonl"), "--target", str(folder / "pair" / "target")]
    places = ["--cache", str(folder / "cache"), "--output", str(folder / "place" / "out")]
    return ["calibrate", "count", *inputs, *places]


def _vocab(kind: str) -> Callable[[Path], list[str]]:
    def arguments(folder: Path) -> list[str]:
        source = folder / "bundle" / "drafter" / "index_map.safetensors"
        return ["vocab", "convert", str(source), str(folder / "place" / "out"), "--to", kind]

    return arguments


def _trim(output: str | None, size: int) -> Callable[[Path], list[str]]:
    def arguments(folder: Path) -> list[str]:
        out = folder / "place" / "out"
        aim = [str(out)] if output is None else [str(folder / "bundle"), "--output", str(out)]
        return ["trim", *aim, "--vocab-size", str(size), "--cache", str(folder / "cache")]

    return arguments


def _trim_model(folder: Path) -> list[str]:
    model, out = folder / "pair" / "drafter", folder / "place" / "out"
    return ["trim", str(model), "--output", str(out), "--like", str(folder / "bundle"), "--vocab-size", "64"]


SCENES = (
    Scene(name="export", output="place/out", arguments=_export),
    Scene(
        name="export with a cold cache",
        output="place/out",
        arguments=_export,
        before=lambda folder: shutil.rmtree(folder / "cache"),
    ),
    Scene(
        name="export over a bundle",
        output="place/out",
        arguments=_export,
        before=lambda folder: _with_users_files(folder, "small"),
    ),
    Scene(
        name="trim in place",
        output="place/out",
        arguments=_trim(None, 64),
        before=lambda folder: _with_users_files(folder, "bundle"),
    ),
    Scene(
        name="trim over another bundle",
        output="place/out",
        arguments=_trim("out", 64),
        before=lambda folder: _with_users_files(folder, "bundle"),
    ),
    Scene(name="trim a model", output="place/out", arguments=_trim_model, refuses_itself=True),
    Scene(name="calibrate", output="place/out", arguments=_calibrate),
    Scene(name="calibrate count", output="place/out", arguments=_count),
    Scene(name="vocab convert to text", output="place/out", arguments=_vocab("text")),
    Scene(name="vocab convert to a folder", output="place/out", arguments=_vocab("speculators")),
)
