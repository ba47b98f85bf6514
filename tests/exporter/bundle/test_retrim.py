"""The law of trimming again: the result is what exporting that size would have given, and a crash harms nothing."""

import dataclasses
import json
import os
from pathlib import Path

import numpy as np
import pytest

from edgedraft.exporter.bundle import retrim, writing
from edgedraft.exporter.bundle.retrim import retrim_bundle, retrim_folder
from edgedraft.exporter.bundle.token_order import SizeForecasts, TokenOrder
from edgedraft.exporter.bundle.writing import BundleContents, write_bundle
from edgedraft.exporter.graph.providers import PROVIDERS
from edgedraft.exporter.models import trimmed
from edgedraft.runtime.base.errors import EdgedraftError
from edgedraft.runtime.bundle.manifest import DivergenceEntry
from edgedraft.runtime.bundle.reading import read_bundle
from edgedraft.runtime.core.index_map import IndexMap
from tests.scattering import scattered

SIZES = np.array([64, 128, 192])
STRAY = DivergenceEntry(precision="int4", kl_per_token=0.02, greedy_agreement=0.94, positions=768)


@pytest.fixture
def contents(one_node_pairs, make_plan, make_calibration, tmp_path):
    """Of a bundle with the 128 first of 192 tokens."""
    pair = one_node_pairs.pair(tmp_path / "cache")
    others = [token for token in np.random.default_rng(0).permutation(192).tolist() if token not in (7, 190)]
    coverage = np.array([[0.5, 0.25, 0.75], [0.75, 0.5, 0.875], [1.0, 1.0, 1.0]])
    speeds = np.array([[18.0, 2.25, 0.5, 0.25, 0.5], [20.0, 2.5, 0.75, 0.5, 1.0], [16.0, 2.625, 0.875, 1.0, 1.5]])
    forecasts = SizeForecasts(sizes=SIZES, coverage=coverage, speeds=speeds)
    order = TokenOrder(token_ids=np.array([7, 190, *others]), forecasts=forecasts)
    plan = make_plan(draft_vocab_size=128, predicted_tokens_per_second=20.0)
    facts = {"plan": plan, "calibration": make_calibration(), "divergence": STRAY}
    return BundleContents(pair=pair, index_map=order.kept(128), order=order, **facts)


@pytest.fixture
def bundle(contents, tmp_path) -> Path:
    write_bundle(contents, tmp_path / "bundle")
    return tmp_path / "bundle"


def everything(folder: Path) -> dict[str, bytes]:
    files = (path for path in sorted(folder.rglob("*")) if path.is_file())
    return {path.relative_to(folder).as_posix(): path.read_bytes() for path in files}


def refused(*arguments) -> str:
    with pytest.raises(EdgedraftError) as error:
        retrim_bundle(*arguments)
    return str(error.value)


# --- bundles ---------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("size", [64, 192])
@pytest.mark.parametrize("in_place", [True, False])
def test_another_size_is_what_exporting_it_would_have_given(contents, bundle, tmp_path, size, in_place):
    """Smaller from the bundle itself, larger from the full drafter: bytes, map, order, texts and what a step reads."""
    output = bundle if in_place else tmp_path / "other"
    manifest = retrim_bundle(bundle, size, output, tmp_path / "cache")
    assert read_bundle(output).manifest == manifest
    plan = dataclasses.replace(contents.plan, draft_vocab_size=size)
    fresh = dataclasses.replace(contents, index_map=contents.order.kept(size), plan=plan)
    write_bundle(fresh, tmp_path / "fresh")
    found, wanted = everything(output), everything(tmp_path / "fresh")
    told = ("edgedraft.json", "README.md")
    assert {name: data for name, data in found.items() if name not in told} == {
        name: data for name, data in wanted.items() if name not in told
    }
    assert sorted(found) == sorted(wanted)
    again = read_bundle(tmp_path / "fresh").manifest
    assert manifest.drafter == again.drafter
    assert sorted(path.name for path in tmp_path.iterdir()) == sorted({"bundle", "cache", "fresh", output.name})


@pytest.mark.parametrize("size", [64, 192])
def test_a_bundle_made_for_a_provider_stays_so(contents, tmp_path, size):
    """Exact products, split data and the manifest's needs, as exporting that size for it would have given."""
    contents = dataclasses.replace(contents, provider=PROVIDERS["webgpu"])
    bundle, fresh = tmp_path / "bundle", tmp_path / "fresh"
    write_bundle(contents, bundle)
    manifest = retrim_bundle(bundle, size, bundle, tmp_path / "cache")
    plan = dataclasses.replace(contents.plan, draft_vocab_size=size)
    write_bundle(dataclasses.replace(contents, index_map=contents.order.kept(size), plan=plan), fresh)
    found, wanted = everything(bundle), everything(fresh)
    assert sorted(found) == sorted(wanted)
    assert {name for name in found if found[name] != wanted[name]} <= {"edgedraft.json", "README.md"}
    assert (manifest.drafter, manifest.provider) == (read_bundle(fresh).manifest.drafter, "webgpu")


def test_split_data_stays_split(contents, one_node_pairs, graphs, tmp_path, monkeypatch):
    """A file for the values and one for the scales, of the size before and of the size after."""

    class Wide(type(one_node_pairs)):
        hidden = 256

    contents = dataclasses.replace(contents, pair=Wide(graphs).pair(tmp_path / "wide"))
    small = dataclasses.replace(PROVIDERS["webgpu"], data_file_bytes=1)
    monkeypatch.setattr(retrim, "provider_named", {"webgpu": small}.__getitem__)
    bundle = tmp_path / "bundle"
    write_bundle(dataclasses.replace(contents, provider=small), bundle)
    manifest = retrim_bundle(bundle, 64, bundle, tmp_path / "cache")
    files = tuple(f"drafter/model-0000{number}-of-00002.onnx.data" for number in (1, 2))
    assert manifest.drafter.data == files
    assert [manifest.files[name].bytes for name in files] == [64 * 128, 64 * 8 * 4]
    assert manifest.drafter.largest_tensor_bytes == 64 * 128
    assert read_bundle(bundle).manifest == manifest


def test_a_head_that_the_provider_cannot_hold_is_refused(contents, one_node_pairs, tmp_path, monkeypatch):
    """But where the bundle's target is larger already, its device holds more than every device must."""
    held = dataclasses.replace(PROVIDERS["webgpu"], largest_tensor_bytes=150 * 16)
    monkeypatch.setattr(retrim, "provider_named", {"webgpu": held}.__getitem__)
    bundle, laptops = tmp_path / "bundle", tmp_path / "laptops"
    contents = dataclasses.replace(contents, provider=PROVIDERS["webgpu"])
    write_bundle(contents, laptops)
    retrim_bundle(laptops, 192, laptops, tmp_path / "cache")
    contents.pair.target = one_node_pairs.folder(tmp_path / "cache" / "narrow", width=128)
    write_bundle(contents, bundle)
    before = everything(bundle)
    assert refused(bundle, 192, bundle, tmp_path / "cache") == (
        "drafter: head.values.trimmed: webgpu binds at most 0 MiB as one tensor, got 0.0 MiB - "
        "choose a precision of fewer bits, a model with fewer tokens or another provider"
    )
    assert everything(bundle) == before


def test_plan_and_calibration_and_card_tell_of_the_new_size(bundle, tmp_path):
    was = read_bundle(bundle).manifest
    manifest = retrim_bundle(bundle, 1, bundle, tmp_path / "cache")
    plan = manifest.plan
    assert (plan.draft_vocab_size, plan.draft_length) == (64, was.plan.draft_length)
    assert (plan.predicted_tokens_per_second, plan.predicted_block_efficiency) == (18.0, 2.25)
    entry = dataclasses.replace(was.calibration, coverage=0.5, coverage_low=0.25, coverage_high=0.75)
    assert manifest.calibration == entry
    card = (bundle / "README.md").read_text()
    for text in ("keeps 64 of\n192 tokens (33.3%)", "they cover 50.00%", plan.reason):
        assert text in card
    assert "| KL 0.0200 nats a token, the same choice at 94.0% of 768 positions | not measured |" in card


def test_there_and_back_is_where_it_was(bundle, tmp_path):
    before = everything(bundle)
    retrim_bundle(bundle, 64, bundle, tmp_path / "cache")
    assert everything(bundle)["drafter/model.onnx.data"] != before["drafter/model.onnx.data"]
    retrim_bundle(bundle, 128, bundle, tmp_path / "cache")
    after = everything(bundle)
    assert {name for name in before if after[name] != before[name]} <= {"edgedraft.json", "README.md"}
    assert read_bundle(bundle).manifest.plan.predicted_tokens_per_second == 20.0


def test_the_trimmed_drafter_scores_as_the_full_one(contents, bundle, tmp_path, graphs, one_node_pairs):
    feed = graphs.states(one_node_pairs.hidden, 5)
    full = graphs.run(contents.pair.drafter.graph, feed)
    retrim_bundle(bundle, 64, bundle, tmp_path / "cache")
    reduced = graphs.run(bundle / "drafter" / "model.onnx", feed)
    kept = read_bundle(bundle).index_map
    assert kept.target_ids.tolist() == contents.order.kept(64).target_ids.tolist()
    assert np.array_equal(reduced, full[..., kept.target_ids])
    assert np.array_equal(graphs.run(bundle / "drafter" / "expanded.onnx", feed)[0], scattered(kept, reduced[0]))


def test_in_place_the_target_is_not_copied_and_has_one_name_in_the_end(bundle, tmp_path):
    data = bundle / "target" / "model.onnx.data"
    inode = data.stat().st_ino
    (bundle / "notes").mkdir()
    (bundle / "notes" / "mine.txt").write_text("the user's own")
    retrim_bundle(bundle, 64, bundle, tmp_path / "cache")
    assert (data.stat().st_ino, data.stat().st_nlink) == (inode, 1)
    assert (bundle / "notes" / "mine.txt").read_text() == "the user's own"


def test_elsewhere_the_target_is_copied_and_the_users_files_stay_behind(bundle, tmp_path):
    (bundle / "mine.txt").write_text("the user's own")
    retrim_bundle(bundle, 64, tmp_path / "other", tmp_path / "cache")
    one, two = (folder / "target" / "model.onnx.data" for folder in (bundle, tmp_path / "other"))
    assert one.stat().st_ino != two.stat().st_ino
    assert one.stat().st_nlink == two.stat().st_nlink == 1
    assert not (tmp_path / "other" / "mine.txt").exists()


def test_a_file_system_without_hard_links_gets_a_copy(bundle, tmp_path, monkeypatch):
    def no_links(*arguments, **options):
        raise OSError(95, "Operation not supported")

    monkeypatch.setattr(retrim.os, "link", no_links)
    retrim_bundle(bundle, 64, bundle, tmp_path / "cache")
    assert read_bundle(bundle).index_map.draft_vocab_size == 64


@pytest.mark.parametrize(
    ("module", "broken"),
    [
        (retrim, "write_trimmed"),
        (trimmed, "write_index_map"),
        (writing, "model_card"),
        (retrim, "file_entries"),
        (writing, "file_entries"),
    ],
)
@pytest.mark.parametrize("failure", [KeyboardInterrupt(), EdgedraftError("no")])
def test_a_crash_leaves_the_old_bundle_with_one_name_for_each_file(
    bundle, tmp_path, monkeypatch, module, broken, failure
):
    before = everything(bundle)

    def crash(*arguments):
        raise failure

    monkeypatch.setattr(module, broken, crash)
    with pytest.raises(type(failure)):
        retrim_bundle(bundle, 64, bundle, tmp_path / "cache")
    assert everything(bundle) == before
    assert {path.stat().st_nlink for path in bundle.rglob("*") if path.is_file()} == {1}
    assert sorted(path.name for path in tmp_path.iterdir()) == ["bundle", "cache"]


def test_a_bundle_reached_by_a_link_is_trimmed_where_it_lies(bundle, tmp_path):
    link = tmp_path / "link"
    link.symlink_to(bundle)
    retrim_bundle(link, 64, link, tmp_path / "cache")
    assert link.is_symlink()
    assert read_bundle(bundle).index_map.draft_vocab_size == 64


def test_the_same_size_in_place_leaves_everything_alone(bundle, tmp_path, monkeypatch):
    monkeypatch.setattr(retrim, "replacing_folder", None)
    assert retrim_bundle(bundle, 100, bundle, tmp_path / "cache") == read_bundle(bundle).manifest


# --- what is refused -------------------------------------------------------------------------------------------------


def test_a_size_beyond_the_bundles_own_needs_the_full_drafter(bundle, tmp_path):
    before = everything(bundle)
    full = tmp_path / "no cache" / "small" / "model.onnx"
    assert refused(bundle, 192, bundle, tmp_path / "no cache") == (
        f"{bundle}: its drafter holds 128 tokens, and the full one is not at {full}, got 192 - "
        "choose a smaller size, name the cache that holds it, or export the bundle again"
    )
    assert everything(bundle) == before


def test_a_size_beyond_the_vocabulary_is_refused(bundle, tmp_path):
    assert refused(bundle, 193, bundle, tmp_path) == (
        "draft vocabulary size: expected 1..192, got 193 - choose a size within the drafter's vocabulary"
    )


def test_a_bundle_without_an_order_is_refused(contents, tmp_path):
    path = tmp_path / "old"
    write_bundle(dataclasses.replace(contents, order=None), path)
    assert refused(path, 64, path, tmp_path) == (
        f"{path}: keeps no token order, so no other size can be cut - export the bundle again"
    )


def test_an_order_of_another_map_is_refused(contents, tmp_path):
    """A map that came from a file, beside an order that came from counts."""
    path = tmp_path / "mixed"
    other = IndexMap(
        target_ids=np.sort(np.append(contents.order.token_ids[:127], contents.order.token_ids[-1])),
        target_vocab_size=192,
    )
    write_bundle(dataclasses.replace(contents, index_map=other), path)
    assert refused(path, 64, path, tmp_path) == (
        f"{path}/drafter/token_order.safetensors: does not begin with the tokens of the bundle's map - "
        "export the bundle again"
    )


def test_a_size_that_no_plan_weighed_is_refused(contents, tmp_path):
    path, forecasts = tmp_path / "drawn", contents.order.forecasts
    one = SizeForecasts(sizes=SIZES[1:], coverage=forecasts.coverage[1:], speeds=forecasts.speeds[1:])
    write_bundle(dataclasses.replace(contents, order=dataclasses.replace(contents.order, forecasts=one)), path)
    assert refused(path, 64, path, tmp_path) == f"{path}: its plan weighed the sizes 128, 192, got 64 - choose one"


def test_a_damaged_bundle_is_not_trimmed(bundle, tmp_path):
    data = bundle / "drafter" / "model.onnx.data"
    data.write_bytes(data.read_bytes()[:-1])
    assert "drafter/model.onnx.data: expected" in refused(bundle, 64, tmp_path / "other", tmp_path)
    assert not (tmp_path / "other").exists()


def test_an_output_that_is_something_else_is_left_alone(bundle, tmp_path):
    (tmp_path / "thesis").mkdir()
    (tmp_path / "thesis" / "thesis.tex").write_text("years of work")
    assert refused(bundle, 64, tmp_path / "thesis", tmp_path) == (
        f"{tmp_path / 'thesis'}: exists and is not a bundle - choose another output folder"
    )


def test_a_full_disk_is_found_before_anything_is_written(bundle, tmp_path, monkeypatch):
    usage = type("usage", (), {"free": 1})
    monkeypatch.setattr("shutil.disk_usage", lambda path: usage)
    assert refused(bundle, 64, bundle, tmp_path) == (
        f"{bundle}: the bundle needs 0.0 GB of free disk space, got 0.0 GB - free some space or choose another folder"
    )


# --- drafters alone --------------------------------------------------------------------------------------------------


def test_a_folder_is_trimmed_with_its_texts_and_both_layouts(contents, graphs, one_node_pairs, tmp_path):
    source, output, kept = contents.pair.drafter.path, tmp_path / "trimmed", contents.order.kept(64)
    (source / "config.json").write_text('{"vocab_size": 192}')
    (source / "source.json").write_text('{"what": "was converted; no longer true of a trimmed drafter"}')
    retrim_folder(source, kept, output)
    assert sorted(path.name for path in output.iterdir()) == [
        "config.json",
        "expanded.onnx",
        "genai_config.json",
        "index_map.safetensors",
        "model.onnx",
        "model.onnx.data",
        "tokenizer.json",
        "tokenizer_config.json",
    ]
    decoder = json.loads((output / "genai_config.json").read_text())["model"]["decoder"]
    assert decoder == {"filename": "expanded.onnx", "head_size": one_node_pairs.hidden}
    feed = graphs.states(one_node_pairs.hidden, 4)
    full, reduced = (graphs.run(folder / "model.onnx", feed) for folder in (source, output))
    assert np.array_equal(reduced, full[..., kept.target_ids])
    assert np.array_equal(graphs.run(output / "expanded.onnx", feed)[0], scattered(kept, reduced[0]))


@pytest.mark.parametrize("what", ["cut", "linked", "trimmed"])
def test_bad_input_is_one_line_and_nothing_written(contents, tmp_path, what):
    source, output, kept = contents.pair.drafter.path, tmp_path / "trimmed", contents.order.kept(64)
    data = source / "model.onnx.data"
    expected = {
        "cut": f"{source / 'model.onnx'}: tensor head.values: model.onnx.data must hold bytes ",
        "linked": f"{source / 'model.onnx'}: tensor head.values: {data}: expected a file with one name",
        "trimmed": f"{source}: the logits must hold all 256 tokens, got 192 - ",
    }
    if what == "cut":
        os.truncate(data, data.stat().st_size - 1)
    elif what == "linked":
        os.link(data, tmp_path / "second name")
    else:
        vocab = {f"word{number}": number for number in range(256)}
        (source / "tokenizer.json").write_text(json.dumps({"model": {"vocab": vocab}}))
    before = sorted(path.name for path in tmp_path.iterdir())
    with pytest.raises(EdgedraftError) as error:
        retrim_folder(source, kept, output)
    assert str(error.value).startswith(expected[what])
    assert sorted(path.name for path in tmp_path.iterdir()) == before


def test_a_folder_that_holds_something_is_left_alone(contents, tmp_path):
    output = tmp_path / "thesis"
    output.mkdir()
    (output / "thesis.tex").write_text("years of work")
    with pytest.raises(EdgedraftError) as error:
        retrim_folder(contents.pair.drafter.path, contents.order.kept(64), output)
    assert str(error.value) == f"{output}: exists and is not empty - choose another output folder"
