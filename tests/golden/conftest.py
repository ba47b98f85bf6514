"""One run of every command for all golden tests, and ``--record`` to make today's outcomes the recorded ones."""

import json
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

import pytest

from tests.golden.mistakes import MISTAKES
from tests.golden.normalising import normalised, portable, without_versions
from tests.golden.running import arguments_of, record_of, run
from tests.golden.scenarios import SCENARIOS, Scenario, write_broken_bundles, write_inputs
from tests.golden.written import describe, sums


def pytest_addoption(parser):
    parser.addoption("--record", action="store_true", help="record today's outcomes instead of comparing with them")


@pytest.fixture(scope="session")
def recording(pytestconfig) -> bool:
    return pytestconfig.getoption("--record", default=False)


@dataclass(frozen=True, kw_only=True)
class Outcomes:
    """By the name of a scenario or a mistake: what is recorded of it, and the sums of the files it wrote."""

    scenarios: dict[str, object]
    sums: dict[str, dict[str, str]]
    mistakes: dict[str, object]


@contextmanager
def _logged_in():
    """A hub of this machine, logged in to."""
    from huggingface_hub import constants

    from tests.exporter.hub import TOKEN, running_hub

    with running_hub() as hub, pytest.MonkeyPatch.context() as patch:
        patch.setattr(constants, "ENDPOINT", hub.url)
        template = hub.url + "/{repo_id}/resolve/{revision}/{filename}"
        patch.setattr(constants, "HUGGINGFACE_CO_URL_TEMPLATE", template)
        patch.setattr(constants, "HF_HUB_DISABLE_XET", True)
        patch.setenv("HF_TOKEN", TOKEN)
        yield hub


@pytest.fixture(scope="session")
def outcomes(tiny_pair, tmp_path_factory) -> Outcomes:
    """Run every scenario, then every mistake, in a cache of their own."""
    work = tmp_path_factory.mktemp("golden")
    write_inputs(work)
    places = {
        "work": str(work),
        "cache": str(work / "cache"),
        "target": str(tiny_pair.target),
        "drafter": str(tiny_pair.drafter),
        **{name: str(work / f"{name}.jsonl") for name in ("prompts", "chats")},
        "eagle": str(work / "eagle.json"),
    }
    scenarios, written = {}, {}
    with _logged_in() as hub:
        names = {str(work): "<work>", str(tiny_pair.target.parent): "<pair>", hub.url: "<hub>"}
        for scenario in SCENARIOS:
            scenarios[scenario.name] = _outcome(scenario, places, names, hub)
            written[scenario.name] = {name: sums(work / name) for name in scenario.files if (work / name).exists()}
            if "drafter_onnx" not in places:
                places["drafter_onnx"] = _full_drafter(work)
        write_broken_bundles(work)
        mistakes = {name: _answer(command, places, names) for name, command in MISTAKES.items()}
    return Outcomes(scenarios=scenarios, sums=written, mistakes=mistakes)


def _full_drafter(work: Path) -> str:
    """The untrimmed drafter that the first export left in the cache."""
    return str(next((work / "cache" / "onnx").glob("tiny-drafter-fp32-*")))


def _outcome(scenario: Scenario, places: dict[str, str], names: dict[str, str], hub) -> object:
    work = Path(places["work"])
    ran = run(arguments_of(scenario.command, places), scenario.typed)
    if scenario.keeps:
        (work / scenario.keeps).write_text(ran.out, encoding="utf-8")
    pushed = {name: {"files": sorted(held.files), "private": held.private} for name, held in hub.repositories.items()}
    if pushed:
        (work / "hub.json").write_text(json.dumps(pushed), encoding="utf-8")
    outcome = record_of(ran)
    if scenario.files:
        outcome["files"] = {name: describe(work / name) if (work / name).exists() else None for name in scenario.files}
    if pushed:
        outcome["printed"] = without_versions(outcome["printed"])
    answers = scenario.command.startswith("generate")
    return normalised(outcome, names, measured=scenario.measured, answers=answers)


def _answer(command: str, places: dict[str, str], names: dict[str, str]) -> object:
    """What a wrong input is answered with."""
    outcome = record_of(run(arguments_of(command, places)))
    outcome["errors"] = portable(outcome.get("errors", []))
    return normalised(outcome, names)
