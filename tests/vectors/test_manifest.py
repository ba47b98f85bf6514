"""A manifest, key by key, and the words it is refused with: what TypeScript reads and says too."""

import copy
import json
from functools import reduce

import pytest

from edgedraft.runtime.base.errors import EdgedraftError
from edgedraft.runtime.base.records import from_plain
from edgedraft.runtime.bundle.manifest import MANIFEST_NAME, BundleManifest
from edgedraft.runtime.bundle.reading import read_bundle


def changed(manifest, changes):
    """A copy with values changed at dotted keys; the value "missing" takes the key out."""
    copied = copy.deepcopy(manifest)
    for key, value in changes.items():
        *path, last = key.split(".")
        holder = reduce(lambda part, name: part[name], path, copied)
        if value == "missing":
            del holder[last]
        else:
            holder[last] = value
    return copied


def value_at(record, key):
    value = reduce(getattr, key.split("."), record)
    return list(value) if isinstance(value, tuple) else value


def refusal(tmp_path, data):
    """What the folder of a bundle with this manifest is refused with, behind the file's name."""
    path = tmp_path / MANIFEST_NAME
    path.write_text(json.dumps(data), encoding="utf-8")
    with pytest.raises(EdgedraftError) as caught:
        read_bundle(tmp_path)
    return str(caught.value).removeprefix(f"{path}: ")


def test_every_key_is_read_under_its_name(vectors):
    manifest = from_plain(BundleManifest, vectors["manifest"], "manifest")
    assert {key: value_at(manifest, key) for key in vectors["keys"]} == vectors["keys"]
    files = {name: {"bytes": entry.bytes, "sha256": entry.sha256} for name, entry in manifest.files.items()}
    assert files == vectors["files"]


def test_what_may_be_missing(vectors):
    without = {key: "missing" for key in vectors["defaults"] if key != "divergence"}
    manifest = from_plain(BundleManifest, changed(vectors["manifest"], without), "manifest")
    assert {key: value_at(manifest, key) for key in vectors["defaults"]} == vectors["defaults"]


@pytest.mark.section("faults")
def test_a_fault(case, vectors, tmp_path):
    assert refusal(tmp_path, changed(vectors["manifest"], case["changes"])) == case["message"]


@pytest.mark.section("roots")
def test_no_object(case, tmp_path):
    assert refusal(tmp_path, case["root"]) == case["message"]
