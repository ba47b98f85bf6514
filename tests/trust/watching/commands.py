"""The writing commands that are tested."""

import shutil
import sqlite3
from collections.abc import Callable
from pathlib import Path

from tests.trust.subjects import export_arguments, tree
from tests.trust.watching.scenes import USERS, Scene

_BALANCED = ("--method", "balanced", "--n-calls", "3")
_JOBS = "tests.trust.watching.jobs"


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


def _vocab_export(folder: Path) -> list[str]:
    places = [str(folder / "counts"), str(folder / "place" / "out")]
    tokenizer = ["--tokenizer", str(folder / "pair" / "target")]
    return ["vocab", "export", *places, "--to", "json", "--vocab-size", "64", *tokenizer]


def _merge(folder: Path) -> list[str]:
    return ["calibrate", "merge", str(folder / "counts"), "--output", str(folder / "place" / "out")]


def _plan(*options: str) -> Callable[[Path], list[str]]:
    """Return the command line of a plan that writes to the output by the last option."""

    def arguments(folder: Path) -> list[str]:
        inputs = ["--max-new-tokens", "8", "--cache", str(folder / "cache"), "--threads", "2"]
        return ["plan", *_pair(folder), *inputs, *options, str(folder / "place" / "out")]

    return arguments


def _trials(path: Path) -> dict[str, str]:
    """Return the finished trials of a search's file, by study and number among the finished ones."""
    if not path.exists() or path.stat().st_size == 0:
        return {}
    query = """SELECT study_id, trial_id, state, (SELECT group_concat(param_name || param_value)
        FROM (SELECT * FROM trial_params AS p WHERE p.trial_id = t.trial_id ORDER BY param_name)),
        (SELECT group_concat(value) FROM trial_values AS v WHERE v.trial_id = t.trial_id)
        FROM trials AS t WHERE state IN ('COMPLETE', 'PRUNED') ORDER BY trial_id"""
    found: dict[str, str] = {}
    with sqlite3.connect(path) as database:
        tables = {name for (name,) in database.execute("SELECT name FROM sqlite_master")}
        rows = database.execute(query).fetchall() if {"trials", "trial_params", "trial_values"} <= tables else []
    database.close()
    for study, _, *facts in rows:
        number = sum(name.startswith(f"{study}/") for name in found)
        found[f"{study}/{number}"] = str(facts)
    return found


def _results(path: Path) -> dict[str, str]:
    """Return the results of a page by content: a second post makes a second file of another name."""
    return {total: name.rpartition(".")[2] for name, total in tree(path).items() if not name.startswith(".")}


def _models(path: Path) -> dict[str, str]:
    """Return the models that were fetched, without their parts and marks, which hold times."""
    return {name: total for name, total in tree(path).items() if name.endswith(".gguf")}


def _user_picture(folder: Path) -> None:
    (folder / "place" / "out").mkdir()
    (folder / "place" / "out" / "notes.txt").write_text(USERS["notes.txt"])


SCENES = (
    Scene(name="export", arguments=_export),
    Scene(
        name="export with a cold cache",
        arguments=_export,
        before=lambda folder: shutil.rmtree(folder / "cache"),
    ),
    Scene(
        name="export over a bundle",
        arguments=_export,
        before=lambda folder: _with_users_files(folder, "small"),
    ),
    Scene(
        name="trim in place",
        arguments=_trim(None, 64),
        before=lambda folder: _with_users_files(folder, "bundle"),
    ),
    Scene(
        name="trim over another bundle",
        arguments=_trim("out", 64),
        before=lambda folder: _with_users_files(folder, "bundle"),
    ),
    Scene(name="trim a model", arguments=_trim_model, refuses_itself=True),
    Scene(name="calibrate", arguments=_calibrate),
    Scene(name="calibrate count", arguments=_count),
    Scene(name="vocab convert to text", arguments=_vocab("text")),
    Scene(name="vocab convert to a folder", arguments=_vocab("speculators")),
    Scene(
        name="calibrate with a cold cache", arguments=_calibrate, before=lambda folder: shutil.rmtree(folder / "cache")
    ),
    Scene(
        name="a page's result",
        run=f"{_JOBS}:post",
        arguments=lambda folder: [str(folder / "place" / "out")],
        before=lambda folder: (folder / "place" / "out").mkdir(),
        read=_results,
    ),
    Scene(name="calibrate merge", arguments=_merge),
    Scene(name="vocab export", arguments=_vocab_export),
    Scene(name="plan with trials kept", arguments=_plan("--trials", "2", "--storage"), read=_trials, piecemeal=True),
    Scene(name="plan with pictures", arguments=_plan("--pictures"), before=_user_picture, piecemeal=True),
    Scene(name="plan balanced", arguments=_plan(*_BALANCED, "--output-dir"), piecemeal=True),
    Scene(
        name="devices probe",
        run=f"{_JOBS}:probe",
        arguments=lambda folder: ["devices", "probe", "--output", str(folder / "place" / "out")],
    ),
    Scene(
        name="models fetch",
        output="place/out/models",
        run=f"{_JOBS}:fetch",
        arguments=lambda folder: [str(folder / "wheels"), str(folder / "place" / "out")],
        read=_models,
    ),
)

_SLOW = ("plan with pictures", "plan with trials kept")
_ROUND = (
    *(scene for _ in range(4) for scene in SCENES if scene.name not in _SLOW),
    *(scene for scene in SCENES if scene.name in _SLOW),
)
"""The order in which trials play the scenes: those that take seconds come less often."""


def played(number: int) -> tuple[Scene, int]:
    """Return the scene of trial ``number``, and how many trials before it have that scene."""
    rounds, place = divmod(number, len(_ROUND))
    scene = _ROUND[place]
    return scene, rounds * _ROUND.count(scene) + _ROUND[:place].count(scene)
