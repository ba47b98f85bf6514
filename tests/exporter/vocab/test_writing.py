"""From any kind to any other and back: the same tokens in the same order, or a refusal that leaves nothing behind."""

import json
import tempfile
from pathlib import Path

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from safetensors.numpy import load_file

from edgedraft.exporter.vocab.kinds import KINDS, WRITABLE
from edgedraft.exporter.vocab.reading import DeclaredMap, read_vocab_map
from edgedraft.exporter.vocab.vocab_map import VocabMap
from edgedraft.exporter.vocab.writing import write_vocab_map
from edgedraft.runtime.base.errors import EdgedraftError
from edgedraft.runtime.bundle.index_map_file import read_index_map

VOCAB = 64
MAPS = st.one_of(
    st.lists(st.integers(0, VOCAB - 1), min_size=1, max_size=24, unique=True),
    st.sets(st.integers(0, VOCAB - 1), min_size=1).map(sorted),
    st.integers(1, VOCAB).map(range).map(list),
    st.lists(st.integers(0, VOCAB - 1), min_size=2, max_size=8),
)


def made(ids, size=VOCAB):
    return VocabMap(kind="text", convention="absolute", target_ids=np.array(ids, np.int64), target_vocab_size=size)


def passed_on(path, found, kind):
    """The map after being written as ``kind`` and read as that, or None where writing refused and left nothing."""
    try:
        write_vocab_map(path, found, kind)
    except EdgedraftError:
        assert not path.exists()
        return None
    return read_vocab_map(path, DeclaredMap(kind=kind))


def read_untold(path):
    """The ids as read by one who is not told the kind, or None where that is asked for."""
    try:
        return read_vocab_map(path).target_ids.tolist()
    except EdgedraftError as error:
        if "two readings are possible" not in str(error):
            raise
        return None


@settings(max_examples=25, deadline=None)
@given(MAPS, st.sampled_from([VOCAB, None]), st.sampled_from(WRITABLE))
def test_a_round_trip_through_two_kinds_is_the_identity_or_a_refusal(ids, size, first):
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        once = passed_on(folder / "first", made(ids, size), first)
        if once is None:
            refused = KINDS[first]
            assert len(set(ids)) < len(ids) or (refused.ascending and (size is None or sorted(ids) != ids))
            return
        assert once.target_ids.tolist() == ids
        assert once.target_vocab_size == (size if KINDS[first].holds_vocab_size else None)
        for second in WRITABLE:
            again = passed_on(folder / second, once, second)
            assert again is None or again.target_ids.tolist() == ids
        assert read_untold(folder / "first") in (ids, None)


@pytest.mark.parametrize("kind", WRITABLE)
def test_repeats_are_never_written(tmp_path, kind):
    with pytest.raises(EdgedraftError, match="expected every id once, but 1 of 3 entries repeat an id: 4 stands at 0"):
        write_vocab_map(tmp_path / "out", made([4, 7, 4]), kind)
    assert list(tmp_path.iterdir()) == []


@pytest.mark.parametrize("kind", [kind for kind in WRITABLE if KINDS[kind].ascending])
def test_what_needs_an_ascending_order_is_not_sorted_in_silence(tmp_path, kind):
    with pytest.raises(EdgedraftError) as error:
        write_vocab_map(tmp_path / "out", made([7, 4]), kind)
    assert str(error.value) == (
        f"vocab map: {KINDS[kind].file} needs ids in ascending order, and this map's are not - "
        "--sort puts them in order; rows of a head trained for the old order must move too"
    )
    with pytest.raises(EdgedraftError, match="needs to know how many tokens the target has - give --tokenizer or"):
        write_vocab_map(tmp_path / "out", made([4, 7], None), kind)
    assert list(tmp_path.iterdir()) == []


def test_each_file_is_what_its_readers_expect(tmp_path):
    """Read with the readers' own libraries, by the formulas that they use."""
    ids, rows = [3, 4, 20], np.arange(3)
    found = made(ids)
    for kind in WRITABLE:
        write_vocab_map(tmp_path / kind, found, kind)
    assert torch.load(tmp_path / "fr-spec", weights_only=True) == ids
    for pair in (load_file(tmp_path / "eagle3"), torch.load(tmp_path / "eagle3-cache", weights_only=True)):
        d2t, t2d = np.asarray(pair["d2t"]), np.asarray(pair["t2d"])
        assert (d2t.dtype, t2d.dtype, t2d.shape) == (np.int64, np.bool_, (VOCAB,))
        assert (d2t + rows).tolist() == np.flatnonzero(t2d).tolist() == ids
    folder = tmp_path / "speculators"
    assert {file.name for file in folder.iterdir()} == {"d2t.npy", "t2d.npy"}
    assert (np.load(folder / "d2t.npy") + rows).tolist() == np.flatnonzero(np.load(folder / "t2d.npy")).tolist() == ids
    assert (torch.load(tmp_path / "modelopt", weights_only=True).numpy() + rows).tolist() == ids
    assert json.loads((tmp_path / "executorch").read_text()) == {"0": 3, "1": 4, "2": 20}
    assert (tmp_path / "text").read_text() == "3\n4\n20\n"
    assert json.loads((tmp_path / "json").read_text()) == ids
    assert read_index_map(tmp_path / "edgedraft", VOCAB).target_ids.tolist() == ids


def test_the_order_of_frequency_is_kept(tmp_path):
    for kind in ("fr-spec", "modelopt", "executorch", "text", "json"):
        assert passed_on(tmp_path / kind, made([20, 3, 4]), kind).target_ids.tolist() == [20, 3, 4]


def test_speculators_counts_lie_beside_the_map(tmp_path):
    write_vocab_map(tmp_path / "out", made([3, 4]), "speculators", {4: 9, 3: 2})
    assert torch.load(tmp_path / "out" / "token_freq.pt", weights_only=True) == {4: 9, 3: 2}
    write_vocab_map(tmp_path / "out", made([3, 5]), "speculators")  # replaced as a whole
    assert sorted(file.name for file in (tmp_path / "out").iterdir()) == ["d2t.npy", "t2d.npy"]


def test_a_folder_that_holds_other_files_is_never_replaced(tmp_path):
    (tmp_path / "thesis.tex").write_text("years of work")
    with pytest.raises(
        EdgedraftError, match=r"expected a folder with nothing but a map, got thesis.tex - choose a new"
    ):
        write_vocab_map(tmp_path, made([3, 4]), "speculators")
    with pytest.raises(EdgedraftError, match="is no file, as fr-spec is"):
        write_vocab_map(tmp_path, made([3, 4]), "fr-spec")
    with pytest.raises(EdgedraftError, match="is no folder, as speculators is"):
        write_vocab_map(tmp_path / "thesis.tex", made([3, 4]), "speculators")
    assert [file.name for file in tmp_path.iterdir()] == ["thesis.tex"]


def test_counts_that_lie_alone_are_not_replaced(tmp_path):
    """speculators' counts are what a user has before there is a map; a converted map would take their place."""
    (tmp_path / "token_freq.pt").write_bytes(b"counts")
    with pytest.raises(EdgedraftError, match=f"{tmp_path}: exists and is not a map - choose another output folder"):
        write_vocab_map(tmp_path, made([3, 4]), "speculators")
    assert (tmp_path / "token_freq.pt").read_bytes() == b"counts"


def test_kinds_that_are_only_read_are_refused(tmp_path):
    with pytest.raises(EdgedraftError, match="vocab: unknown kind of file, got gguf - known: fr-spec, eagle3"):
        write_vocab_map(tmp_path / "out", made([3]), "gguf")
