"""The law of choosing tokens for a drafter's folder: whoever chose them, they are of its tokenizer and end turns."""

import json

import numpy as np
import pytest

from edgedraft.calibration.counts_file import write_counts
from edgedraft.exporter.bundle.token_order import SizeForecasts, TokenOrder
from edgedraft.exporter.bundle.trim_orders import kept_by_calibration, kept_in_file, kept_like
from edgedraft.exporter.bundle.writing import BundleContents, write_bundle
from edgedraft.exporter.vocab.reading import DeclaredMap
from edgedraft.runtime.base.errors import EdgedraftError
from edgedraft.runtime.base.tokenizer_files import tokenizer_fingerprint
from edgedraft.runtime.bundle.index_map_file import write_index_map

VOCAB, ENDS = 192, [7, 190]


@pytest.fixture
def pair(one_node_pairs, tmp_path):
    return one_node_pairs.pair(tmp_path / "models")


@pytest.fixture
def order():
    others = [token for token in np.random.default_rng(1).permutation(VOCAB).tolist() if token not in ENDS]
    forecasts = SizeForecasts(sizes=np.array([128]), coverage=np.ones((1, 3)), speeds=np.ones((1, 5)))
    return TokenOrder(token_ids=np.array([*ENDS, *others]), forecasts=forecasts)


@pytest.fixture
def bundle(pair, order, make_plan, make_calibration, tmp_path):
    facts = {"plan": make_plan(draft_vocab_size=128), "calibration": make_calibration(), "divergence": None}
    write_bundle(BundleContents(pair=pair, index_map=order.kept(128), order=order, **facts), tmp_path / "bundle")
    return tmp_path / "bundle"


@pytest.fixture
def other_folder(one_node_pairs, tmp_path):
    return one_node_pairs.folder(tmp_path / "other", words=4).path


def refused(choose, *arguments) -> str:
    with pytest.raises(EdgedraftError) as error:
        choose(*arguments)
    return str(error.value)


@pytest.mark.parametrize(("size", "kept"), [(None, 128), (128, 128), (1, 64), (150, 192)])
def test_a_bundles_order_cuts_any_size(bundle, pair, order, size, kept):
    found = kept_like(bundle, pair.drafter.path, size)
    assert found.target_ids.tolist() == order.kept(kept).target_ids.tolist()


def test_a_bundle_of_another_tokenizer_is_refused(bundle, pair, other_folder):
    wanted, found = pair.fingerprint[:12], tokenizer_fingerprint(other_folder / "tokenizer.json")[:12]
    assert refused(kept_like, bundle, other_folder, 64) == (
        f"--like {bundle}: made for the tokenizer {wanted}, got {found} in {other_folder} - "
        "use one made for this drafter's tokenizer"
    )


def test_counts_rank_with_the_end_of_turn_first(pair, make_counts, tmp_path):
    counts = np.zeros(VOCAB, dtype=np.int64)
    counts[100:180] = np.arange(80, 0, -1)
    file = tmp_path / "counts.safetensors"
    write_counts(file, make_counts(counts, tokenizer_fingerprint=pair.fingerprint))
    found = kept_by_calibration(file, pair.drafter.path, 60)
    assert found.target_ids.tolist() == sorted([*ENDS, *range(100, 162)])


def test_counts_of_another_tokenizer_are_refused(pair, make_counts, tmp_path):
    file = tmp_path / "counts.safetensors"
    write_counts(file, make_counts(np.ones(VOCAB, dtype=np.int64), tokenizer_fingerprint="another"))
    assert refused(kept_by_calibration, file, pair.drafter.path, 64) == (
        f"--calibration {file}: made for the tokenizer another, got {pair.fingerprint[:12]} in {pair.drafter.path} - "
        "use one made for this drafter's tokenizer"
    )


# --- map files -------------------------------------------------------------------------------------------------------

DECLARED = DeclaredMap(vocab_size=VOCAB)


def test_an_index_map_is_taken_whole(pair, order, tmp_path):
    file, kept = tmp_path / "index_map.safetensors", order.kept(70)
    write_index_map(file, kept)
    assert kept_in_file(file, DECLARED, pair.drafter.path, None).target_ids.tolist() == kept.target_ids.tolist()
    assert refused(kept_in_file, file, DECLARED, pair.drafter.path, 64) == (
        f"--vocab {file}: its 70 tokens have no order to cut them by - leave out --vocab-size"
    )


def test_no_file_gives_more_than_it_holds(pair, tmp_path):
    file = tmp_path / "ids.json"
    file.write_text(json.dumps([*ENDS, 3, 5]))
    assert refused(kept_in_file, file, DECLARED, pair.drafter.path, 5) == (
        f"--vocab {file}: holds 4 tokens, got 5 - leave out --vocab-size"
    )


def test_a_map_without_the_end_of_turn_is_refused(pair, tmp_path):
    file = tmp_path / "ids.json"
    file.write_text(json.dumps([7, 3, 5]))
    assert "expected the ids that end a turn; it lacks 190" in refused(
        kept_in_file, file, DECLARED, pair.drafter.path, None
    )


def test_a_folder_without_genai_settings_says_the_end_of_turn_in_its_own(pair, tmp_path):
    file, folder = tmp_path / "ids.json", pair.drafter.path
    file.write_text(json.dumps([3, 5, 9]))
    (folder / "genai_config.json").unlink()
    (folder / "config.json").write_text(json.dumps({"eos_token_id": 3, "vocab_size": VOCAB}))
    real = {"version": "1.0", "model": {"type": "WordLevel", "vocab": {"a": 0}, "unk_token": "a"}}
    (folder / "tokenizer.json").write_text(json.dumps(real))
    assert kept_in_file(file, DECLARED, folder, None).target_ids.tolist() == [3, 5, 9]
