"""Every kind of file in the wild gives the same tokens, and what is no map gives one clear line."""

import json
import struct

import numpy as np
import pytest
import torch
from safetensors.numpy import save_file

from edgedraft.exporter.vocab.reading import DeclaredMap, read_vocab_map
from edgedraft.runtime.base.errors import EdgedraftError

VOCAB = 40
IDS = [2, 3, 11, 12, 30, 39]
OFFSETS = [2, 2, 9, 9, 26, 34]

# What exporting a constant named d2t with MNN 3.6.1 wrote.
FROM_MNN = bytes.fromhex(
    "1c000000180018000000000008000c000000050006001000140007001800000000000000c00000001c0000000800000000000000"
    "0100000004000000030000006432740001000000180000000000120018000000060008000c001000140007001200000000000701"
    "3000000014000000080000000b0000000100000000000000030000006432740010001400080007000c0000000000100010000000"
    "00000001300000000300000004000000080000000000000000000000030000000300000007000000090000000900000009000000"
    "010000000800000000000a0008000000000004000a0000000400000005000000332e362e31000000"
)


@pytest.mark.parametrize(
    ("name", "kind", "convention", "size"),
    [
        ("freq_6.pt", "fr-spec", "absolute", None),
        ("model.safetensors", "eagle3", "offset", VOCAB),
        ("pytorch_model.bin", "eagle3-cache", "offset", VOCAB),
        ("cache.pt", "eagle3-cache", "offset", VOCAB),
        ("d2t.npy", "speculators", "offset", VOCAB),
        ("d2t-6.npy", "speculators", "offset", VOCAB),
        ("d2t.pt", "modelopt", "offset", None),
        ("drafter.gguf", "gguf", "absolute", VOCAB),
        ("openvino_model.xml", "openvino", "offset", None),
        ("eagle_d2t.mnn", "mnn", "offset", None),
        ("eagle_meta.pt", "nemo", "absolute", VOCAB),
        ("pruned.json", "executorch", "absolute", None),
        ("ids.txt", "text", "absolute", None),
        ("ids.json", "json", "absolute", None),
        ("index_map.safetensors", "edgedraft", "absolute", VOCAB),
    ],
)
def test_every_kind_in_the_wild_gives_the_same_tokens(wild, name, kind, convention, size):
    declared = DeclaredMap(kind="offset") if name == "d2t.pt" else DeclaredMap()
    found = read_vocab_map(wild(name), declared)
    assert (found.kind, found.convention, found.target_vocab_size) == (kind, convention, size)
    assert found.target_ids.tolist() == IDS
    assert found.problems == ()


def test_a_bare_tensor_is_fr_specs_or_modelopts_by_what_it_can_mean(tmp_path):
    file = tmp_path / "map.pt"
    torch.save(torch.tensor([30, 3, 39, 12]), file)
    assert read_vocab_map(file, DeclaredMap(vocab_size=VOCAB)).kind == "fr-spec"  # 39 + 2 is outside
    torch.save(torch.tensor([30, 2, 37, 9, -2]), file)
    found = read_vocab_map(file)
    assert (found.kind, found.target_ids.tolist()) == ("modelopt", [30, 3, 39, 12, 2])
    torch.save(torch.tensor([3, 5, 9]), file)
    with pytest.raises(
        EdgedraftError, match=r"map.pt: two readings are possible: as ids 3 5 9, as offsets 3 6 11 - say"
    ):
        read_vocab_map(file)
    assert read_vocab_map(file, DeclaredMap(kind="modelopt")).target_ids.tolist() == [3, 6, 11]
    assert read_vocab_map(file, DeclaredMap(kind="fr-spec")).target_ids.tolist() == [3, 5, 9]


def test_a_folder_of_speculators_is_a_map(wild):
    file = wild("d2t.npy")
    assert read_vocab_map(file.parent).target_ids.tolist() == IDS
    file.with_name("d2t-9.npy").write_bytes(file.read_bytes())
    with pytest.raises(EdgedraftError, match=r"expected one d2t.npy in this folder, got d2t-9.npy, d2t.npy - give the"):
        read_vocab_map(file.parent)


def test_the_mask_decides_where_d2t_holds_ids(tmp_path):
    """A drafter whose d2t was filled with ids: engines that add the row would draft other tokens."""
    save_file({"d2t": np.array(IDS), "t2d": np.isin(np.arange(VOCAB), IDS)}, tmp_path / "m.safetensors")
    found = read_vocab_map(tmp_path / "m.safetensors")
    assert found.target_ids.tolist() == IDS
    (told,) = found.problems
    assert told.startswith("it holds absolute ids, but readers of d2t and t2d in safetensors")


def test_a_mask_that_contradicts_the_map_is_refused(tmp_path):
    save_file({"d2t": np.array(OFFSETS), "t2d": np.isin(np.arange(VOCAB), IDS[1:])}, tmp_path / "m.safetensors")
    with pytest.raises(EdgedraftError, match=r"as offsets, they are not the tokens that t2d marks$"):
        read_vocab_map(tmp_path / "m.safetensors")


def test_a_missing_map_is_never_taken_as_the_first_ids(tmp_path):
    save_file({"lm_head.weight": np.zeros((4, 2), np.float32)}, tmp_path / "m.safetensors")
    torch.save({"lm_head.weight": torch.zeros(4, 2)}, tmp_path / "m.bin")
    for name in ("m.safetensors", "m.bin"):
        with pytest.raises(EdgedraftError) as error:
            read_vocab_map(tmp_path / name)
        assert str(error.value) == (
            f"{tmp_path / name}: expected a tensor d2t or target_ids, got lm_head.weight - "
            "a missing map is never taken as ids 0..K-1; its map may lie in another file"
        )


def test_two_maps_in_one_file_are_refused(tmp_path):
    save_file({"a.d2t": np.array([1]), "b.d2t": np.array([2])}, tmp_path / "m.safetensors")
    with pytest.raises(EdgedraftError, match=r"expected one map, got a\.d2t, b\.d2t"):
        read_vocab_map(tmp_path / "m.safetensors")


def test_a_file_that_mnn_itself_wrote_is_read(tmp_path):
    (tmp_path / "eagle_d2t.mnn").write_bytes(FROM_MNN)
    assert read_vocab_map(tmp_path / "eagle_d2t.mnn").target_ids.tolist() == [0, 1, 5, 6, 11, 14, 15, 16]


def test_openvinos_other_width_is_read_and_a_lost_half_is_told(tmp_path, wild):
    file = wild("openvino_model.xml")
    text, weights = file.read_text(), file.with_suffix(".bin")
    weights.write_bytes(b"\0" * 16 + struct.pack("<6i", *OFFSETS))
    file.write_text(text.replace("i64", "i32").replace('size="48"', 'size="24"'))
    assert read_vocab_map(file).target_ids.tolist() == IDS
    file.write_text(file.read_text().replace('size="24"', 'size="23"'))
    with pytest.raises(EdgedraftError, match="d2t: expected whole numbers of 4 bytes, got 23 bytes"):
        read_vocab_map(file)
    file.write_text(file.read_text().replace('size="23"', 'size="24"'))
    weights.write_bytes(weights.read_bytes()[:-1])
    with pytest.raises(EdgedraftError, match="d2t: expected bytes within the file's 39, got 24 at 16"):
        read_vocab_map(file)
    weights.unlink()
    with pytest.raises(EdgedraftError, match=r"openvino_model.bin: no such file - an IR is two files: keep the .bin"):
        read_vocab_map(file)


@pytest.mark.parametrize(
    "name", ["model.safetensors", "drafter.gguf", "openvino_model.xml", "eagle_d2t.mnn", "d2t.npy"]
)
def test_half_a_file_is_refused_in_one_line(wild, name):
    file = wild(name)
    file.write_bytes(file.read_bytes()[: file.stat().st_size // 2])
    with pytest.raises(EdgedraftError, match=f"^{file}: not ") as error:
        read_vocab_map(file)
    assert "\n" not in str(error.value)


@pytest.mark.parametrize(
    ("name", "content", "message"),
    [
        ("a.txt", b"", "an empty file"),
        ("a.txt", b"3\nfour\n", ":2: expected one id a line, got 'four'"),
        ("a.txt", b"\xff\xfe\x00\x01", "not a token map of any known kind"),
        ("a.json", b"[1, 2", "not valid JSON, got "),
        ("a.json", b"[1, true]", "expected whole numbers, got True"),
        ("a.json", b"[]", "expected at least one number, got none"),
        ("a.json", b'{"0": 4, "2": 5}', "with pruned ids 0..1, each once, got 0, 2"),
        ("a.json", b'{"0": 4, "0": 5}', "not valid JSON, got a key stands twice"),
        ("a.json", b'{"vocab": [1]}', "with pruned ids 0..0, each once, got vocab"),
        ("t2d.npy", None, "expected the d2t file of the pair, got t2d.npy - give d2t.npy, or their folder"),
    ],
)
def test_what_is_no_map_is_refused_with_its_place(tmp_path, name, content, message):
    file = tmp_path / name
    if content is None:
        np.save(file, np.array([True]))
    else:
        file.write_bytes(content)
    with pytest.raises(EdgedraftError) as error:
        read_vocab_map(file)
    assert str(error.value).startswith(str(file))
    assert message in str(error.value)


def test_pickled_arrays_are_never_loaded(tmp_path):
    np.save(tmp_path / "d2t.npy", np.array([{1: 2}], dtype=object), allow_pickle=True)
    with pytest.raises(EdgedraftError, match="not a NumPy array that can be read, got Object arrays cannot be loaded"):
        read_vocab_map(tmp_path / "d2t.npy")


def test_a_header_that_is_no_python_is_refused(wild):
    file = wild("d2t.npy")
    file.write_bytes(file.read_bytes().replace(b"}", b" "))
    with pytest.raises(EdgedraftError, match=f"^{file}: not a NumPy array that can be read, got "):
        read_vocab_map(file)


def test_counts_are_not_a_map(tmp_path):
    torch.save({5: 3, 9: 1}, tmp_path / "token_freq.pt")
    with pytest.raises(EdgedraftError, match="counts of tokens, not a map - edgedraft vocab export takes it"):
        read_vocab_map(tmp_path / "token_freq.pt")


def test_a_declared_kind_that_the_file_is_not_is_refused(wild):
    with pytest.raises(EdgedraftError) as error:
        read_vocab_map(wild("ids.txt"), DeclaredMap(kind="eagle3"))
    assert "this is plain text, one id a line, got --kind eagle3 - use --kind text or absolute or offset" in str(
        error.value
    )


def test_the_files_own_vocabulary_size_is_kept_and_a_given_one_fills_in(wild):
    assert read_vocab_map(wild("cache.pt"), DeclaredMap(vocab_size=99)).target_vocab_size == VOCAB
    assert read_vocab_map(wild("ids.txt"), DeclaredMap(vocab_size=99)).target_vocab_size == 99
    with pytest.raises(EdgedraftError, match=r"expected ids, but 39 lies outside 0..38"):
        read_vocab_map(wild("ids.txt"), DeclaredMap(vocab_size=39))


def test_exported_lists_with_bos_twice_are_read_with_their_problem(tmp_path):
    torch.save([1, 5, 9, 1], tmp_path / "freq.pt")
    found = read_vocab_map(tmp_path / "freq.pt")
    assert found.target_ids.tolist() == [1, 5, 9, 1]
    assert found.problems == ("1 of 4 entries repeat an id: 1 stands at 0 and at 3",)


def test_executorchs_rows_may_stand_in_any_order(tmp_path):
    (tmp_path / "m.json").write_text(json.dumps({"1": 7, "0": 9, "2": 4}))
    assert read_vocab_map(tmp_path / "m.json").target_ids.tolist() == [9, 7, 4]
