"""The law of counts files: equal counts make equal bytes, however they were added; a file gives back what it got."""

import hashlib
import itertools
import json

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from edgedraft.calibration.counts import SOURCES, Provenance, TokenCounts, count_tokens
from edgedraft.calibration.counts_file import read_counts, write_counts
from edgedraft.calibration.data.samples import GROUPS
from edgedraft.runtime.base.errors import EdgedraftError
from edgedraft.runtime.base.tensors import read_tensors, write_tensors

VOCAB = 300


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    return tmp_path_factory.mktemp("counts")


def random_counts(seed: int, prompts: int, **provenance) -> TokenCounts:
    rng = np.random.default_rng(seed)
    answers = [
        (hashlib.sha256(rng.bytes(8)).hexdigest(), rng.integers(0, VOCAB, rng.integers(0, 40)).tolist())
        for _ in range(prompts)
    ]
    told = {"source": "target", "tokenizer_fingerprint": "print", "model": "big", "options": {"b": [1], "a": {"c": 2}}}
    return count_tokens(answers, VOCAB, Provenance(**told | provenance))


def facts(counts: TokenCounts) -> tuple:
    return counts.by_group.tolist(), counts.prompts_by_group.tolist(), counts.provenance


# --- the law ---------------------------------------------------------------------------------------------------------


def test_four_shards_in_any_order_make_one_file_byte_for_byte(folder):
    shards = [random_counts(seed, prompts=5) for seed in range(4)]
    files = set()
    for order in itertools.permutations(shards):
        write_counts(folder / "whole", order[0] + order[1] + order[2] + order[3])
        files.add((folder / "whole").read_bytes())
        write_counts(folder / "whole", (order[0] + order[1]) + (order[2] + order[3]))
        files.add((folder / "whole").read_bytes())
    assert len(files) == 1
    write_counts(folder / "part", shards[0] + shards[1] + shards[2])
    assert (folder / "part").read_bytes() not in files


@given(seed=st.integers(0, 99), prompts=st.integers(0, 6), source=st.sampled_from(SOURCES))
@settings(max_examples=25, deadline=None)
def test_a_file_gives_back_what_was_written_and_what_is_read_adds(folder, seed, prompts, source):
    written, other = random_counts(seed, prompts, source=source), random_counts(seed + 100, prompts=2, source=source)
    write_counts(folder / "written", written)
    read = read_counts(folder / "written")
    assert facts(read) == facts(written)
    assert facts(read + other) == facts(written + other)


def test_options_are_written_in_one_order(folder):
    for name, options in (("one", {"a": 1, "b": 2}), ("other", {"b": 2, "a": 1})):
        write_counts(folder / name, random_counts(1, 3, options=options))
    assert (folder / "one").read_bytes() == (folder / "other").read_bytes()


def test_tokens_never_seen_take_no_room(folder, make_counts):
    sizes = set()
    for vocab_size in (10, 100_000):
        row = np.zeros(vocab_size, np.int64)
        row[3] = 7
        write_counts(folder / "sparse", make_counts(row))
        sizes.add((folder / "sparse").stat().st_size // 64)
    assert max(sizes) - min(sizes) <= 1


# --- broken files ----------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("content", [b"", b"garbage", b"\x10\x00\x00\x00\x00\x00\x00\x00{}", b"\xff" * 64])
def test_garbage_is_told_by_its_path(tmp_path, content):
    path = tmp_path / "counts.safetensors"
    path.write_bytes(content)
    with pytest.raises(EdgedraftError, match=r"counts\.safetensors: not a "):
        read_counts(path)


def test_a_missing_file_is_named(tmp_path):
    with pytest.raises(EdgedraftError, match=r"gone: no such file$"):
        read_counts(tmp_path / "gone")


@pytest.fixture
def broken(tmp_path):
    """Writes a good file with some tensors or header entries changed (None takes them out), and gives its path."""

    def write(tensors=(), header=()):
        path = tmp_path / "counts.safetensors"
        write_counts(path, random_counts(0, prompts=4))
        held, metadata = read_tensors(path)
        changed = {name: array for name, array in (held | dict(tensors)).items() if array is not None}
        told = {name: text for name, text in (metadata | dict(header)).items() if text is not None}
        write_tensors(path, changed, told)
        return path

    return write


def test_what_breaks_files_leaves_a_good_one_good(broken):
    assert facts(read_counts(broken())) == facts(random_counts(0, prompts=4))


@pytest.mark.parametrize("name", ["groups", "token_ids", "counts", "prompts_by_group"])
def test_a_missing_tensor_is_named(broken, name):
    with pytest.raises(EdgedraftError, match=rf"counts\.safetensors: not a token-counts file, got KeyError: '{name}'$"):
        read_counts(broken({name: None}))


@pytest.mark.parametrize(
    "header",
    [
        {"format": None},
        {"format": "edgedraft token counts 99"},
        {"vocab_size": None},
        {"vocab_size": "many"},
        {"vocab_size": "3"},
        {"vocab_size": "-1"},
        {"provenance": None},
        {"provenance": "{"},
        {"provenance": json.dumps({"source": "rumour", "tokenizer_fingerprint": "print"})},
        {"provenance": json.dumps({"source": "text"})},
        {"provenance": json.dumps({"source": "text", "tokenizer_fingerprint": "print", "prompts_digest": "xyz"})},
        {"provenance": json.dumps({"source": "text", "tokenizer_fingerprint": 1})},
        {"provenance": json.dumps({"source": "text", "tokenizer_fingerprint": "print", "mood": "good"})},
        {"provenance": "[]"},
    ],
    ids=str,
)
def test_a_header_that_cannot_be_is_told_by_the_files_path(broken, header):
    with pytest.raises(EdgedraftError, match=r"counts\.safetensors: "):
        read_counts(broken(header=header))


@pytest.mark.parametrize(
    "tensors",
    [
        {"groups": np.array([GROUPS])},
        {"groups": np.array([-1])},
        {"token_ids": np.array([VOCAB])},
        {"token_ids": np.array([-1])},
        {"groups": np.array([1, 2]), "token_ids": np.array([1, 2, 3])},
        {"groups": np.array([1.5], np.float32)},
        {"counts": np.array([-4])},
        {"counts": np.array([1.5], np.float32)},
        {"groups": np.array([1, 2]), "token_ids": np.array([1, 2])},
        {"groups": np.array([1, 1]), "token_ids": np.array([1, 1]), "counts": np.array([1, 2])},
        {"counts": np.array([1, 2, 3, 4, 5, 6, 7])},
        {"prompts_by_group": np.zeros(GROUPS, np.int32)},
        {"prompts_by_group": np.zeros(3, np.int64)},
    ],
    ids=lambda tensors: " ".join(f"{name} {array.dtype} {array[:3].tolist()}" for name, array in tensors.items()),
)
def test_tensors_that_cannot_be_are_told_by_the_files_path(broken, tensors):
    one = {"groups": np.array([1]), "token_ids": np.array([1]), "counts": np.array([1])}
    with pytest.raises(EdgedraftError, match=r"counts\.safetensors: "):
        read_counts(broken(one | tensors))
