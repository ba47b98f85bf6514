"""The trust suite finds faults: a skipped sync, a skipped check, a file that is removed too early."""

import contextlib
import json
from random import Random

import pytest

from tests.needs import skip_without
from tests.trust.attacks.crowd import crowd
from tests.trust.attacks.server import server_process
from tests.trust.attacks.shapes import BENCH
from tests.trust.kinds import servers
from tests.trust.kinds.damaged_caches import damage
from tests.trust.kinds.power_losses import lose_power
from tests.trust.kinds.soaks import answering, require_flat
from tests.trust.subjects import tree
from tests.trust.watching.commands import SCENES
from tests.trust.watching.scenes import COMMAND, Scene, Stage, require_old_or_new, require_users_files
from tests.trust.watching.watcher import COMPILER, GO, KILL, SKIP, Decision, Event, Job

_BY_NAME = {scene.name: scene for scene in SCENES}


@pytest.fixture(scope="module")
def stage() -> Stage:
    skip_without(COMPILER)
    from tests.trust.watching.scenes import stage

    return stage()


def broken(stage: Stage, scene: Scene, skipped: str, seeds: int) -> list[str]:
    """Return what is wrong after power losses at the end of a command that skips syncs."""
    known, reasons = stage.finished(scene), []
    for seed in range(seeds):
        try:
            lose_power(stage, scene, known, len(known.outcome.events), Random(seed), skipped)
        except AssertionError as error:
            reasons.append(str(error))
    return reasons


@pytest.mark.parametrize("skipped", ["file", "folder"])
def test_a_skipped_sync_is_noticed(stage, skipped):
    scene = _BY_NAME["vocab convert to a folder"]
    assert broken(stage, scene, "", 4) == []
    reasons = broken(stage, scene, skipped, 8)
    assert any("neither old nor new" in reason for reason in reasons), reasons


def test_a_skipped_check_of_the_cache_is_noticed(stage):
    scene = _BY_NAME["export"]
    found = {}
    for run in (COMMAND, "tests.trust.watching.jobs:unchecked"):
        where = stage.set(scene)
        data = next(where.glob("cache/onnx/target-*/model.onnx.data"))
        content = bytearray(data.read_bytes())
        content[len(content) // 4 : len(content) // 2] = bytes(len(content) // 2 - len(content) // 4)
        data.write_bytes(content)
        outcome = stage.watcher.run(Job(run=run, arguments=scene.arguments(where), folder=where))
        assert outcome.code == 0, outcome.output
        found[run] = tree(where / scene.output) == tree(where / "bundle")
    assert list(found.values()) == [True, False]


def test_a_removal_before_the_swap_is_noticed(stage):
    """As if a command removed the old bundle, with the user's files in it, and were killed then."""
    scene = _BY_NAME["export over a bundle"]
    known, where = stage.finished(scene), stage.set(scene)

    def decide(event: Event) -> Decision:
        if event.call == "exchange":
            (where / scene.output / "notes.txt").unlink()
            return KILL
        return GO

    stage.run(scene, where, decide)
    with pytest.raises(AssertionError, match="neither old nor new"):
        require_old_or_new(where, scene, known, "")
    with pytest.raises(AssertionError, match=r"the user's notes\.txt: gone or changed"):
        require_users_files(where / scene.output, known.before)


def test_a_leak_is_noticed(stage):
    with answering(stage.set_again() / "bundle", 1, "leaking") as after:
        first = after(20)
        with pytest.raises(AssertionError, match="MiB more"):
            require_flat(first, after(250))


def test_a_server_that_keeps_every_connection_is_noticed(tmp_path, monkeypatch):
    monkeypatch.setattr(servers, "PATIENCE_SECONDS", 1.5)
    for planted in ((), ("unbounded",)):
        with (
            contextlib.nullcontext() if not planted else pytest.raises(AssertionError, match="timed out"),
            server_process(tmp_path / str(planted), *planted, files=64) as server,
            crowd(server.port, Random(1), idle=100, slow=0, knowing=0),
        ):
            servers.ask(server, "beside idle connections")


def test_a_server_that_checks_no_json_is_noticed(tmp_path):
    for planted in ((), ("unchecked",)):
        with server_process(tmp_path / str(planted), *planted) as server:
            bench = json.dumps(BENCH).replace('"anything"', '"\\ud800"').encode()
            if planted:
                with pytest.raises(AssertionError, match="status 500"):
                    servers.post(server, "results/bench", bench, {})
            else:
                assert servers.post(server, "results/bench", bench, {}) == 400


def test_damage_always_changes_a_file_and_no_time(tmp_path):
    file = tmp_path / "file"
    for seed in range(50):
        file.write_bytes(b"content" * 20)
        before = file.stat().st_mtime_ns
        damage(file, Random(seed))
        assert file.read_bytes() != b"content" * 20
        assert file.stat().st_mtime_ns == before


def test_skipping_claims_success_and_does_nothing(stage):
    where = stage.set(_BY_NAME["vocab convert to text"])
    outcome = stage.run(_BY_NAME["vocab convert to text"], where, lambda event: SKIP if event.call == "rename" else GO)
    assert outcome.code == 0
    assert not (where / "place" / "out").exists()
