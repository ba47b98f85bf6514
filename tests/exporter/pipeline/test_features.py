"""Training data of a real tiny target: what torch and SpecForge's loader find in it, and what becomes of a stop."""

import json

import numpy as np
import pytest
import torch

from edgedraft.__main__ import main
from edgedraft.exporter.models.eagle.config_values import ConfigValues
from edgedraft.exporter.models.eagle.layout import read_layout
from edgedraft.exporter.pipeline.features import read_states, write_features
from edgedraft.exporter.pipeline.inputs import open_target
from edgedraft.exporter.pipeline.requests import FeaturesRequest
from edgedraft.exporter.vocab.reading import read_vocab_map
from edgedraft.runtime.base.errors import EdgedraftError

TAPS, KEPT, HIDDEN = (0, 1, 1), 64, 128


@pytest.fixture(scope="module")
def prompts_file(tmp_path_factory):
    file = tmp_path_factory.mktemp("asked") / "prompts.jsonl"
    lines = [{"prompt": f"sort the list {number} of nodes"} for number in range(6)]
    file.write_text("\n".join(map(json.dumps, lines)), encoding="utf-8")
    return file


@pytest.fixture(scope="module")
def asked(tiny_pair, prompts_file):
    """A request for features in a folder; keywords change it."""

    def make(folder, **changes):
        values = {
            "target": str(tiny_pair.target),
            "target_precisions": ("fp32",),
            "prompts": prompts_file,
            "max_new_tokens": 12,
            "threads": (2,),
            "context_length": 256,
            "cache": tiny_pair.cache,
            "layers": TAPS,
            "vocab_size": KEPT,
        }
        return FeaturesRequest(features=folder, **{**values, **changes})

    return make


@pytest.fixture(scope="module")
def written(asked, tmp_path_factory):
    folder = tmp_path_factory.mktemp("features") / "mine"
    return folder, write_features(asked(folder))


@pytest.fixture(scope="module")
def model(tiny_pair):
    from transformers import AutoModelForCausalLM

    return AutoModelForCausalLM.from_pretrained(tiny_pair.target).eval()


def examples(folder):
    return sorted(folder.rglob("*.ckpt"))


def states_of(model, token_ids):
    """The states that enter each layer, and the one after the final norm, as transformers has them."""
    with torch.no_grad():
        states = model(torch.tensor(token_ids)[None], output_hidden_states=True).hidden_states
    return np.concatenate([states[each][0].numpy() for each in (*TAPS, -1)], -1)


def test_an_example_holds_what_a_trainer_reads(written, model, tiny_pair):
    """Names, shapes and types of SpecForge's offline files; the states are transformers' to bfloat16's rounding."""
    folder, report = written
    files = examples(folder / "train")
    assert [file.relative_to(folder).as_posix() for file in files] == [
        f"train/rows_0-5000/data_{number}.ckpt" for number in range(3)
    ]
    tokens = 0
    for file in files:
        data = torch.load(file, weights_only=True)
        assert set(data) == {"input_ids", "loss_mask", "hidden_state", "aux_hidden_state"}
        ids, mask = data["input_ids"], data["loss_mask"]
        assert (ids.dtype, mask.dtype) == (torch.int64, torch.int64)
        assert data["hidden_state"].shape == (1, len(ids), HIDDEN)
        assert data["aux_hidden_state"].shape == (1, len(ids), 3 * HIDDEN)
        assert data["hidden_state"].dtype == data["aux_hidden_state"].dtype == torch.bfloat16
        found = torch.cat([data["aux_hidden_state"], data["hidden_state"]], -1)[0].float().numpy()
        np.testing.assert_allclose(found, states_of(model, ids.tolist()), rtol=2**-7, atol=1e-3)
        prompt = int((mask == 0).sum())
        assert mask.tolist() == sorted(mask.tolist())
        greedy = model.generate(ids[None, :prompt], max_new_tokens=12, do_sample=False)[0]
        assert ids.tolist() == greedy.tolist(), "the answer is the target's own"
        tokens += len(ids)
    assert report.tokens["train"] == tokens
    assert report.examples == {"train": 3, "eval": 3}


def test_states_are_transformers_before_they_are_rounded(asked, model, tiny_pair, tmp_path):
    target = open_target(asked(tmp_path), tiny_pair.cache)
    token_ids = list(range(3, 103))  # several pieces of a prompt
    found = read_states(target.tapped(TAPS).new_model(), token_ids)
    expected = states_of(model, token_ids)
    assert np.linalg.norm(found - expected) < 1e-5 * np.linalg.norm(expected)
    assert not list(target.folder.path.glob(".features*")), "the tapped graph is gone"


def test_map_and_configuration_are_what_the_product_reads(written):
    folder, report = written
    kept = read_vocab_map(folder / "vocab_mapping.pt")
    assert (kept.entries, kept.target_vocab_size, kept.kind) == (KEPT, 1024, "eagle3-cache")
    mapping = torch.load(folder / "vocab_mapping.pt", weights_only=True)
    rows = torch.arange(KEPT)
    assert mapping["t2d"].nonzero()[:, 0].tolist() == (rows + mapping["d2t"]).tolist() == kept.target_ids.tolist()
    answered = {
        token
        for file in examples(folder / "train")
        for data in [torch.load(file, weights_only=True)]
        for token in data["input_ids"][data["loss_mask"] == 1].tolist()
    }
    assert answered <= set(kept.target_ids.tolist())
    layout = read_layout(ConfigValues(folder / "config.json"), "eagle3")
    assert (layout.hidden, layout.intermediate, layout.heads, layout.kv_heads, layout.head_size) == (128, 256, 4, 2, 32)
    assert (layout.tapped_layers, layout.vocab_size, layout.context_length) == (TAPS, 1024, 512)
    assert json.loads((folder / "config.json").read_text())["draft_vocab_size"] == KEPT
    assert 0 < report.coverage <= 1


def test_a_stopped_run_goes_on_where_it_ended(asked, written, tmp_path):
    """What was written stays, a damaged file is written again, and the result is that of an undisturbed run."""

    def stop(what, done, total):
        if what.startswith("states") and done == 2:
            raise KeyboardInterrupt

    folder = tmp_path / "mine"
    with pytest.raises(KeyboardInterrupt):
        write_features(asked(folder), stop)
    assert not json.loads((folder / "features.json").read_text())["complete"]
    first, second = examples(folder)
    before = first.stat().st_mtime_ns
    second.write_bytes(second.read_bytes()[:100])
    write_features(asked(folder))
    assert first.stat().st_mtime_ns == before
    assert json.loads((folder / "features.json").read_text())["complete"]
    names = [path.relative_to(written[0]) for path in written[0].rglob("*") if path.is_file()]
    assert {name: (folder / name).read_bytes() for name in names} == {
        name: (written[0] / name).read_bytes() for name in names
    }


@pytest.mark.parametrize(
    "changes", [{"max_new_tokens": 13}, {"layers": (1, 1, 1)}, {"vocab_size": 65}, {"prompts_per_half": 2}]
)
def test_features_of_other_settings_are_not_mixed_in(asked, written, changes):
    with pytest.raises(EdgedraftError, match="holds features of another target, other prompts or other settings"):
        write_features(asked(written[0], **changes))


@pytest.mark.parametrize(
    ("changes", "said"),
    [
        ({"layers": (0, 1, 2)}, "tapped layers must lie in 0..1, got 0, 1, 2"),
        ({"layers": ()}, "tapped layers must lie in 0..1, got 2, 1, -1"),
        ({"vocab_size": 1025}, "vocab_size: expected no more tokens than the target's, got 1025"),
        ({"vocab_size": 0}, "vocab_size: expected 1 or more, got 0"),
        ({"drafter": "mine"}, "features are the target's alone, got drafter mine"),
        ({"rank_by": ("accepted",)}, "rank by target or text, got accepted"),
    ],
)
def test_what_no_trainer_could_use_is_refused(asked, tmp_path, changes, said):
    with pytest.raises(EdgedraftError, match=said):
        write_features(asked(tmp_path / "mine", **changes))
    assert not (tmp_path / "mine").exists()


@pytest.mark.parametrize(
    ("options", "said"),
    [
        (("--features", "mine", "--output", "other"), "saves no calibration of a pair, got --output"),
        (("--layers", "1"), "only training data has layers and one vocabulary size, got --layers"),
        (("--vocab-size", "9"), "only training data has layers and one vocabulary size, got --vocab-size"),
        (("--features", "held"), "held: exists and is not a folder of features"),
        (("--features", "mine", "--target-precision", "int4", "fp32"), "--target-precision: expected one here"),
    ],
)
def test_the_command_refuses_in_one_line(options, said, tiny_pair, tmp_path, monkeypatch, capsys):
    monkeypatch.chdir(tmp_path)
    (tmp_path / "held").mkdir()
    (tmp_path / "held" / "thesis").write_text("years of work")
    assert main(["calibrate", "--target", str(tiny_pair.target), *options]) == 2
    (line,) = capsys.readouterr().err.splitlines()
    assert said in line


def test_the_command_says_what_it_wrote(tiny_pair, prompts_file, tmp_path, capsys):
    folder = tmp_path / "mine"
    options = ["--target", tiny_pair.target, "--prompts", prompts_file, "--cache", tiny_pair.cache, "--threads", 2]
    options += ["--target-precision", "fp32", "--max-new-tokens", 12, "--context-length", 256, "--layers", 0, 1, 1]
    assert main(["calibrate", *map(str, options), "--features", str(folder), "--vocab-size", "64", "--json"]) == 0
    report = json.loads(capsys.readouterr().out)
    assert (report["examples"], report["tapped_layers"], report["draft_vocab_size"]) == (
        {"train": 3, "eval": 3},
        list(TAPS),
        KEPT,
    )
    assert len(examples(folder)) == 6
