"""Traces on disk: what was written comes back, and anything else is refused in one line."""

import dataclasses
import json

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from edgedraft.calibration.trace.file import DEPTHS_FORMAT, FORMAT, read_trace, write_trace
from edgedraft.calibration.trace.rows import AcceptanceTrace, DrawnTrace
from edgedraft.runtime.base.errors import EdgedraftError
from edgedraft.runtime.base.tensors import read_tensors, write_tensors
from edgedraft.runtime.core.sampling import SamplingSettings


def random_trace(rng: np.random.Generator, lengths: list[int], cap: int, drawn: bool) -> AcceptanceTrace | DrawnTrace:
    positions = sum(lengths)
    wanted = rng.integers(1, 6, positions)
    sizes = np.minimum(wanted, cap)
    entries = int(sizes.sum())
    ids = rng.integers(0, 151_936, entries).astype(np.int32)
    targets = rng.integers(0, 151_936, positions)
    whole = wanted <= cap
    ids[(np.cumsum(sizes) - 1)[whole]] = targets[whole]
    scores = [
        np.log(rng.random(size)).astype(np.float32) for size in (entries, entries, positions, positions, positions)
    ]
    shared = {
        "target_ids": targets,
        "wanted": wanted,
        "ids": ids,
        "log_probs_by_drafter": scores[0],
        "offsets": np.cumsum([0, *lengths]),
        "cap": cap,
    }
    if not drawn:
        return AcceptanceTrace(**shared)
    scores[1][::2] = -np.inf
    return DrawnTrace(
        **shared,
        log_probs_by_target=scores[1],
        left_by_target=scores[2],
        left_by_drafter=scores[3],
        best_left=scores[4],
        settings=SamplingSettings(temperature=0.7, top_k=3, logit_bias={5: -np.inf, 151_935: 1.5}),
    )


@given(
    seed=st.integers(0, 2**32 - 1),
    lengths=st.lists(st.integers(0, 5), min_size=1, max_size=4),
    cap=st.integers(1, 8),
    drawn=st.booleans(),
)
@settings(max_examples=40, deadline=None)
def test_a_file_gives_back_what_was_written(tmp_path_factory, seed, lengths, cap, drawn):
    trace = random_trace(np.random.default_rng(seed), lengths, cap, drawn)
    path = tmp_path_factory.mktemp("trace") / "trace.safetensors"
    write_trace(path, trace)
    found = read_trace(path)
    assert type(found) is type(trace)
    for field in dataclasses.fields(trace):
        before, after = getattr(trace, field.name), getattr(found, field.name)
        if isinstance(before, np.ndarray):
            assert before.dtype == after.dtype
            assert np.array_equal(before, after), field.name
        else:
            assert before == after, field.name


@pytest.fixture
def written(tmp_path):
    path = tmp_path / "trace.safetensors"
    write_trace(path, random_trace(np.random.default_rng(0), [4, 0, 9], 3, True))
    return path


def test_a_file_tells_its_cap_and_the_share_of_rows_it_cuts(written):
    _, facts = read_tensors(written)
    assert facts["cap"] == "3"
    assert float(facts["cut_share"]) == read_trace(written).cut_share > 0


def test_ids_take_four_bytes_on_disk(written):
    tensors, _ = read_tensors(written)
    assert {tensors[name].dtype for name in ("ids", "target_ids", "wanted")} == {np.dtype(np.int32)}


def test_a_trace_of_the_first_format_is_refused(tmp_path):
    """64 ids a position and no header: what edgedraft wrote before."""
    path = tmp_path / "trace.safetensors"
    arrays = {"target_ids": np.zeros(3, np.int32), "drafter_top": np.zeros((3, 64), np.int32), "offsets": np.zeros(2)}
    write_tensors(path, arrays | {"offsets": np.array([0, 3])})
    rule = r"trace\.safetensors: not an acceptance-trace file, got another format - trace the answers again$"
    with pytest.raises(EdgedraftError, match=rule):
        read_trace(path)


@pytest.mark.parametrize(
    ("change", "rule"),
    [
        (lambda tensors, facts: tensors.pop("wanted"), "not an acceptance-trace file, got KeyError 'wanted'$"),
        (lambda tensors, facts: facts.pop("cap"), "not an acceptance-trace file, got KeyError 'cap'$"),
        (lambda tensors, facts: facts.update(cap="many"), "not an acceptance-trace file, got ValueError"),
        (
            lambda tensors, facts: facts.update(settings="[]"),
            "not an acceptance-trace file, got AttributeError|TypeError",
        ),
        (lambda tensors, facts: facts.update(settings="{"), "settings: not valid JSON, got Expecting"),
        (
            lambda tensors, facts: facts.update(settings=json.dumps({"logit_bias": {}, "temperature": -1})),
            "temperature must be 0, or",
        ),
        (
            lambda tensors, facts: facts.update(format="edgedraft acceptance trace 4"),
            "file, got edgedraft acceptance tr",
        ),
        (
            lambda tensors, facts: facts.update(format=DEPTHS_FORMAT),
            "not an acceptance-trace file, got KeyError 'caps'",
        ),
        (lambda tensors, facts: facts.update(format=DEPTHS_FORMAT, caps="[3, 3]"), "got KeyError 'depth 1"),
        (lambda tensors, facts: facts.update(format=DEPTHS_FORMAT, caps="3"), "not an acceptance-trace file, got Type"),
        (lambda tensors, facts: facts.update(answers="shouted"), f"not an acceptance-trace file, got {FORMAT}"),
        (lambda tensors, facts: tensors.update(offsets=np.array([0, 2])), "trace: expected one target token, one row"),
        (
            lambda tensors, facts: tensors.update(offsets=np.array(3)),
            "not an acceptance-trace file, got (Index|Type)Err",
        ),
        (lambda tensors, facts: tensors.update(ids=tensors["ids"][:-1]), r"trace: expected \d+ ids and log-prob"),
    ],
)
def test_a_damaged_file_is_refused(written, change, rule):
    tensors, facts = read_tensors(written)
    change(tensors, facts)
    write_tensors(written, tensors, facts)
    with pytest.raises(EdgedraftError, match=rule) as caught:
        read_trace(written)
    assert str(caught.value).startswith(str(written))
    assert "\n" not in str(caught.value)


def test_garbage_is_refused(tmp_path):
    path = tmp_path / "trace.safetensors"
    path.write_bytes(b"garbage")
    with pytest.raises(EdgedraftError, match=r"trace\.safetensors: not a safetensors file"):
        read_trace(path)
