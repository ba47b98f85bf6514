"""Concurrent use: two writers, a reader beside a writer, a forked child, threads."""

import shutil
import threading
import time
from collections.abc import Iterator
from pathlib import Path
from random import Random

from edgedraft.runtime.bundle.reading import read_bundle
from tests.trust.frame import Trial, Verdict, kind
from tests.trust.subjects import export_arguments, tree
from tests.trust.watching.scenes import COMMAND, require_no_litter
from tests.trust.watching.scenes import stage as shared_stage
from tests.trust.watching.watcher import GO, KILL, Decide, Decision, Event, Job, Outcome, Watcher, watcher

_OUT = "place/out"


@kind("two-writers", promise="of two writers of one path one wins, whole, even when the other is killed", trials=300)
def two_writers(folder: Path) -> Iterator[Trial]:
    """Export two bundles to one path at once, at random speeds, and sometimes kill one of them."""
    stage, first, second = shared_stage(), watcher(), watcher(1)
    wholes = [tree(stage.set_again() / name) for name in ("bundle", "small")]

    def trial(number: int, rng: Random) -> Verdict:
        where = stage.set_again()
        if rng.random() < 0.5:
            shutil.copytree(where / "small", where / _OUT)
        kills = [rng.randrange(160) if rng.random() < 0.25 else None for _ in range(2)]
        speeds = [Random(rng.random()) for _ in range(2)]
        ends = _both(where, (first, second), [slowly(each, kill) for each, kill in zip(speeds, kills, strict=True)])
        for end in ends:
            assert end.code in (0, -9), f"exit {end.code}: {end.last_line}"
        if any(end.code == 0 for end in ends):
            assert tree(where / _OUT) in wholes, "neither of the two bundles"
        last = first.run(Job(run=COMMAND, arguments=_export(where, 128), folder=where))
        assert (last.code, tree(where / _OUT)) == (0, wholes[0]), f"then: exit {last.code}: {last.last_line}"
        require_no_litter(where / "place")
        return Verdict.HELD

    yield trial


@kind("readers", promise="a reader beside a writer reads the old bundle or the new one", trials=300)
def readers(folder: Path) -> Iterator[Trial]:
    """Read a bundle again and again while a command replaces it."""
    stage = shared_stage()
    known = [read_bundle(stage.set_again() / name).manifest for name in ("bundle", "small")]

    def trial(number: int, rng: Random) -> Verdict:
        where = stage.set_again()
        shutil.copytree(where / "small", where / _OUT)
        ends: list[Outcome] = []
        job = Job(run=COMMAND, arguments=_export(where, 128), folder=where)
        writer = threading.Thread(target=lambda: ends.append(watcher().run(job, slowly(rng, None))))
        writer.start()
        read = []
        while writer.is_alive() or not read:
            read.append(read_bundle(where / _OUT).manifest)
            assert read[-1] in known, "a mixture was read"
        writer.join()
        assert ends[0].code == 0, ends[0].output
        assert read_bundle(where / _OUT).manifest == known[0]
        return Verdict.HELD

    yield trial


@kind("forks", promise="after a fork parent and child answer as before, or the child is refused", trials=100)
def forks(folder: Path) -> Iterator[Trial]:
    """Fork a process that has answered, and compare the answers of both with those before."""
    bundle = shared_stage().set_again() / "bundle"

    def trial(number: int, rng: Random) -> Verdict:
        threads, seed = 1 + number % 2, rng.randrange(10**6)
        return _said("tests.trust.watching.jobs:fork", bundle, threads, seed)

    yield trial


@kind("threads", promise="answers of several threads at once are those of one after the other", trials=100)
def threads(folder: Path) -> Iterator[Trial]:
    """Ask one engine from several threads."""
    bundle = shared_stage().set_again() / "bundle"

    def trial(number: int, rng: Random) -> Verdict:
        return _said("tests.trust.watching.jobs:several", bundle, 2 + number % 6, rng.randrange(10**6))

    yield trial


def slowly(rng: Random, kill: int | None) -> Decide:
    """Wait a little before some operations, so that every run interleaves differently."""

    def decide(event: Event) -> Decision:
        if rng.random() < 0.1:
            time.sleep(rng.random() * 0.02)
        return KILL if event.at == kill else GO

    return decide


def _export(where: Path, size: int) -> list[str]:
    return export_arguments(where / "pair", where / "cache", where / _OUT, size)


def _both(where: Path, watchers: tuple[Watcher, Watcher], decides: list[Decide]) -> list[Outcome]:
    ends: list[Outcome] = []

    def run(place: int) -> None:
        job = Job(run=COMMAND, arguments=_export(where, (128, 64)[place]), folder=where)
        ends.append(watchers[place].run(job, decides[place]))

    running = [threading.Thread(target=run, args=(place,)) for place in range(2)]
    for each in running:
        each.start()
    for each in running:
        each.join()
    return ends


def _said(run: str, bundle: Path, *arguments: int) -> Verdict:
    """Return the verdict in the last line of the job's output."""
    end = watcher().run(Job(run=run, arguments=[bundle, *arguments], folder=bundle / "nothing"))
    assert end.code == 0, end.output
    return Verdict(end.last_line)


KINDS = (two_writers, readers, forks, threads)
