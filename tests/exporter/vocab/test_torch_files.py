"""A torch file is data or it is refused: no pickled code ever runs, and broken files get one clear line."""

import os
import pickle
from pathlib import Path

import numpy as np
import pytest
import torch

from edgedraft.exporter.vocab.reading import read_vocab_map
from edgedraft.exporter.vocab.torch_files import read_torch, write_torch
from edgedraft.runtime.base.errors import EdgedraftError


class Bomb:
    """Pickled, it creates a file when it is loaded by a loader that trusts it."""

    def __init__(self, path: Path) -> None:
        self.path = path

    def __reduce__(self):
        return (os.mkdir, (str(self.path),))


@pytest.mark.parametrize("new_format", [True, False], ids=["zip", "legacy"])
@pytest.mark.parametrize("wrap", [lambda bomb: bomb, lambda bomb: {"d2t": torch.arange(3), "t2d": bomb}])
def test_pickled_code_is_never_run(tmp_path, new_format, wrap):
    file, crater = tmp_path / "map.pt", tmp_path / "crater"
    torch.save(wrap(Bomb(crater)), file, _use_new_zipfile_serialization=new_format)
    with pytest.raises(EdgedraftError) as error:
        read_vocab_map(file)
    assert str(error.value) == (
        f"{file}: holds pickled code or objects, not only data, got posix.mkdir - "
        "nothing of it was run; ask its maker for tensors, lists or numbers"
    )
    assert not crater.exists()
    torch.load(file, weights_only=False)  # negative control: a trusting loader does run it
    assert crater.exists()


def test_a_plain_pickle_is_never_run(tmp_path):
    file, crater = tmp_path / "map.pt", tmp_path / "crater"
    file.write_bytes(pickle.dumps(Bomb(crater)))
    with pytest.raises(EdgedraftError, match="holds pickled code or objects"):
        read_vocab_map(file)
    assert not crater.exists()


def test_the_environment_cannot_switch_the_safe_loader_off(tmp_path, monkeypatch):
    monkeypatch.setenv("TORCH_FORCE_NO_WEIGHTS_ONLY_LOAD", "1")
    torch.save(Bomb(tmp_path / "crater"), tmp_path / "map.pt")
    with pytest.raises(EdgedraftError, match="holds pickled code or objects"):
        read_torch(tmp_path / "map.pt")
    assert not (tmp_path / "crater").exists()


def test_broken_files_get_one_line(tmp_path):
    whole, broken, junk = (tmp_path / name for name in ("whole.pt", "broken.pt", "junk.pt"))
    torch.save({"d2t": torch.arange(100)}, whole)
    broken.write_bytes(whole.read_bytes()[:300])
    junk.write_bytes(b"\x80\x02junk" * 10)
    for file in (broken, junk):
        with pytest.raises(EdgedraftError, match=f"^{file}: not a torch file that can be read, got ") as error:
            read_torch(file)
        assert "\n" not in str(error.value)


def test_large_tensors_are_named_not_read(tmp_path):
    torch.save({"d2t": torch.arange(3), "w": torch.zeros(2, 3, dtype=torch.bfloat16), "n": 5}, tmp_path / "model.bin")
    found = read_torch(tmp_path / "model.bin")
    assert found["d2t"].tolist() == [0, 1, 2]
    assert (found["w"], found["n"]) == ("a tensor of bfloat16 [2, 3]", 5)


def test_what_is_written_other_tools_load_safely(tmp_path):
    write_torch(tmp_path / "a.pt", [3, 1])
    write_torch(tmp_path / "b.pt", {"d2t": np.array([3, 1]), "t2d": np.array([True, False])})
    assert torch.load(tmp_path / "a.pt", weights_only=True) == [3, 1]
    found = torch.load(tmp_path / "b.pt", weights_only=True)
    assert (found["d2t"].dtype, found["t2d"].dtype) == (torch.int64, torch.bool)
