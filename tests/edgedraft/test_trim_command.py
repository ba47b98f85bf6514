"""edgedraft trim on a tiny real bundle: another size answers as well, and every mistake is one line."""

import json
import shutil

import pytest

from edgedraft import load
from edgedraft.__main__ import main
from edgedraft.runtime.bundle.reading import read_bundle


@pytest.fixture
def bundle(tiny_bundle, tmp_path):
    return shutil.copytree(tiny_bundle, tmp_path / "bundle")


@pytest.fixture
def drafter(tiny_opened):
    return tiny_opened.drafter.path


@pytest.fixture
def trim(tiny_pair, capsys):
    """Runs trim; returns its JSON, or what it prints."""

    def run(*options, told=False):
        arguments = ["trim", *map(str, options), "--cache", str(tiny_pair.cache)]
        assert main([*arguments, *([] if told else ["--json"])]) == 0
        out = capsys.readouterr().out
        return out if told else json.loads(out)

    return run


@pytest.fixture
def refused(tiny_pair, capsys):
    """Runs trim, which must refuse; returns its one line."""

    def run(*options):
        assert main(["trim", *map(str, options), "--cache", str(tiny_pair.cache)]) == 2
        lines = [line for line in capsys.readouterr().err.splitlines() if line.startswith("edgedraft: ")]
        assert len(lines) == 1
        return lines[0].removeprefix("edgedraft: ")

    return run


@pytest.mark.parametrize("size", [128, 512])
def test_a_trimmed_bundle_gives_the_same_text(trim, bundle, tiny_bundle, tmp_path, size):
    """Smaller and larger than the bundle's 256; the target has the last word either way."""
    found = trim(bundle, "--vocab-size", size, "--output", tmp_path / "other")
    assert found["plan"]["draft_vocab_size"] == size
    one, other = (load(path, threads=2, context_length=128) for path in (tiny_bundle, tmp_path / "other"))
    prompt = "merge the sorted list"
    texts = [model.generate(prompt, max_new_tokens=24).text for model in (one, other)]
    assert texts[0] == texts[1]


def test_in_place_by_default_and_told_in_words(trim, bundle):
    told = trim(bundle, "--vocab-size", 100, told=True)
    manifest = read_bundle(bundle).manifest
    assert manifest.plan.draft_vocab_size == 128
    assert f"{bundle}: 128 draft tokens, " in told
    assert "trimmed to 128 draft tokens after planning: a round of " in told
    assert f"covers {manifest.calibration.coverage:.1%} [" in told


def test_a_larger_vocabulary_foresees_more(trim, bundle, tmp_path):
    small, large = (trim(bundle, "--vocab-size", size, "--output", tmp_path / f"{size}") for size in (64, 960))
    assert small["calibration"]["coverage"] <= large["calibration"]["coverage"]
    assert small["plan"]["drafter_pass_seconds"][0] < large["plan"]["drafter_pass_seconds"][0]


def test_a_drafters_folder_is_trimmed_like_a_bundle(trim, bundle, drafter, tmp_path):
    found = trim(drafter, "--like", bundle, "--output", tmp_path / "trimmed")
    assert found == {
        "drafter": str(tmp_path / "trimmed"),
        "draft_vocab_size": 256,
        "target_vocab_size": 1024,
    }
    for name in ("model.onnx", "model.onnx.data", "expanded.onnx", "index_map.safetensors"):
        assert (tmp_path / "trimmed" / name).read_bytes() == (bundle / "drafter" / name).read_bytes()
    told = trim(drafter, "--like", bundle, "--vocab-size", 500, "--output", tmp_path / "more", told=True)
    assert told == f"{tmp_path / 'more'}: a drafter with 512 of 1,024 tokens (50.0%).\n"


def test_a_map_of_another_engine_trims_a_folder(trim, drafter, tmp_path):
    (tmp_path / "ids.json").write_text(json.dumps(list(range(128))))
    found = trim(drafter, "--vocab", tmp_path / "ids.json", "--kind", "absolute", "--output", tmp_path / "trimmed")
    assert found["draft_vocab_size"] == 128


def test_what_is_neither_is_refused(refused, tmp_path):
    assert refused(tmp_path, "--vocab-size", 64) == (
        f"{tmp_path}: neither a bundle nor a folder with model.onnx - "
        "name a folder that edgedraft export wrote, or a drafter exported to ONNX"
    )


def test_options_that_are_missing_or_out_of_place_are_named(refused, bundle, drafter, tmp_path):
    output = ("--output", tmp_path / "out")
    assert refused(bundle) == "trim: a bundle needs --vocab-size"
    assert refused(bundle, "--vocab-size", 64, "--like", bundle) == (
        "trim: a bundle is cut by the token order that it keeps, got --like"
    )
    assert refused(drafter, "--like", bundle) == "trim: a model needs --output - name a new folder"
    assert refused(drafter, *output) == (
        "trim: which tokens a model keeps must be said - give --like BUNDLE, --calibration FOLDER or --vocab FILE"
    )
    assert refused(drafter, "--calibration", tmp_path, *output) == "trim: a calibration needs --vocab-size"
    assert refused(drafter, "--like", bundle, "--kind", "offset", *output) == (
        "trim: --kind says what --vocab is, got no --vocab"
    )
    assert not (tmp_path / "out").exists()
