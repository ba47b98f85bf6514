"""The real pair: fetched, converted and exported once per test session, through the command that users run."""

import json
import resource
import subprocess
from dataclasses import dataclass
from pathlib import Path

import pytest

from edgedraft.exporter.models.cache import cache_folder
from edgedraft.exporter.models.pair import Pair, PairRequest, prepare_pair
from edgedraft.runtime.onnx.session import SessionSettings

PER_HALF, NEW_TOKENS = 12, 32


@dataclass(frozen=True, kw_only=True)
class Quickstart:
    """What `edgedraft quickstart --json` said, where its bundle is, and the largest process it needed."""

    result: dict
    bundle: Path
    peak_bytes: int


@pytest.fixture(scope="session")
def quickstart(tmp_path_factory) -> Quickstart:
    bundle = tmp_path_factory.mktemp("real") / "bundle"
    command = ["edgedraft", "quickstart", "--json", "--output", str(bundle), "--threads", "2"]
    command += ["--prompts-per-half", str(PER_HALF), "--max-new-tokens", str(NEW_TOKENS)]
    command += ["--bench-prompts", "3", "--bench-tokens", "32"]
    finished = subprocess.run(command, stdout=subprocess.PIPE, text=True, check=True)
    peak = resource.getrusage(resource.RUSAGE_CHILDREN).ru_maxrss * 1024
    return Quickstart(result=json.loads(finished.stdout), bundle=bundle, peak_bytes=peak)


@pytest.fixture(scope="session")
def real_pair(quickstart) -> Pair:
    """The converted pair that quickstart left in the cache."""
    return open_pair("int4")


def open_pair(drafter_precision: str) -> Pair:
    request = PairRequest(
        target="qwen2.5-coder-1.5b-instruct",
        drafter="qwen2.5-coder-0.5b-instruct",
        target_precision="int4",
        drafter_precision=drafter_precision,
        settings=SessionSettings(threads=2, context_length=1024),
    )
    return prepare_pair(request, cache_folder())


@pytest.fixture(scope="session")
def fp32_pair(quickstart) -> Pair:
    return open_pair("fp32")
