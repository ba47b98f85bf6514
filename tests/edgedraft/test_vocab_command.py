"""edgedraft vocab on a tiny tokenizer: what it tells, what it converts, what it refuses in one line."""

import json

import numpy as np
import pytest
import torch

from edgedraft.__main__ import main
from edgedraft.calibration.counts_file import write_counts
from edgedraft.calibration.run import Calibration
from edgedraft.calibration.saved import save_calibration
from edgedraft.calibration.trace.rows import AcceptanceTrace
from edgedraft.runtime.base.tokenizer_files import tokenizer_fingerprint

VOCAB, END, START = 1024, 1, 0


@pytest.fixture(scope="module")
def tokenizer(tmp_path_factory):
    """A target's folder without weights."""
    from tokenizers import Tokenizer, models
    from transformers import PreTrainedTokenizerFast

    folder = tmp_path_factory.mktemp("target")
    words = {"<s>": START, "</s>": END} | {f"w{i}": i for i in range(2, 1000)}
    whole = Tokenizer(models.WordLevel(words, unk_token="w2"))
    PreTrainedTokenizerFast(tokenizer_object=whole, bos_token="<s>", eos_token="</s>").save_pretrained(folder)
    (folder / "config.json").write_text(json.dumps({"vocab_size": VOCAB, "eos_token_id": END}))
    return folder


@pytest.fixture
def vocab(capsys):
    """Runs vocab and returns its JSON, or with ``told`` what it prints."""

    def run(*options, told=False):
        assert main(["vocab", *map(str, options), *([] if told else ["--json"])]) == 0
        out = capsys.readouterr().out
        return out if told else json.loads(out)

    return run


@pytest.fixture
def refused(capsys):
    """Runs vocab, which must refuse; returns its one line."""

    def run(*options):
        assert main(["vocab", *map(str, options)]) == 2
        captured = capsys.readouterr()
        assert captured.out == ""
        (line,) = captured.err.splitlines()
        return line

    return run


@pytest.fixture
def freq(tmp_path):
    """FR-Spec's list of five tokens, BOS twice, without the end of a turn."""
    torch.save([START, 900, 7, 42, START], tmp_path / "freq.pt")
    return tmp_path / "freq.pt"


def test_inspect_tells_kind_convention_size_and_problems(vocab, freq, tokenizer):
    found = vocab("inspect", freq, "--tokenizer", tokenizer)
    assert {key: found[key] for key in ("kind", "convention", "entries", "draft_vocab_size", "ascending")} == {
        "kind": "fr-spec",
        "convention": "absolute",
        "entries": 5,
        "draft_vocab_size": 4,
        "ascending": False,
    }
    assert found["target_vocab_size"] == VOCAB
    assert found["tokenizer"]["missing_end_token_ids"] == [END]
    assert (found["tokenizer"]["special_tokens"], found["tokenizer"]["special_tokens_kept"]) == (2, 1)
    assert found["problems"] == [
        "1 of 5 entries repeat an id: 0 stands at 0 and at 4",
        "it lacks 1 (</s>), which end a turn: the drafter would never propose the end",
    ]
    told = vocab("inspect", freq, "--tokenizer", tokenizer, told=True)
    assert "the map keeps 0 of 1 that end a turn and 1 of 2 special tokens" in told
    assert "Problem: it lacks 1 (</s>)" in told


def test_inspect_finds_nothing_wrong_where_nothing_is(vocab, tmp_path, tokenizer):
    (tmp_path / "ids.txt").write_text("1\n7\n42\n")
    assert "No problem was found." in vocab("inspect", tmp_path / "ids.txt", "--tokenizer", tokenizer, told=True)
    assert "target's: unknown" in vocab("inspect", tmp_path / "ids.txt", told=True)


def test_inspect_tells_ids_that_are_padding_and_another_vocabulary(vocab, tmp_path, tokenizer):
    (tmp_path / "ids.txt").write_text("1\n1003\n")
    found = vocab("inspect", tmp_path / "ids.txt", "--tokenizer", tokenizer)
    assert found["problems"] == ["1 of its ids are no tokens of the tokenizer: rows spent on padding"]
    kept = torch.zeros(2000, dtype=torch.bool)
    kept[[1, 1500]] = True
    torch.save({"d2t": torch.tensor([1, 1499]), "t2d": kept}, tmp_path / "cache.pt")
    found = vocab("inspect", tmp_path / "cache.pt", "--tokenizer", tokenizer)
    assert found["problems"][:2] == [
        "it was made for 2000 tokens; this target knows 1024",
        "its id 1500 lies outside this target's 0..1023",
    ]


def test_convert_writes_what_it_read_and_says_what_it_changed(vocab, refused, freq, tmp_path, tokenizer):
    out = tmp_path / "map.safetensors"
    target = ("--tokenizer", tokenizer)
    assert "expected every id once" in refused("convert", freq, out, "--to", "eagle3", *target)
    assert "needs ids in ascending order" in refused("convert", freq, out, "--to", "eagle3", *target, "--repair")
    assert not out.exists()
    found = vocab("convert", freq, out, "--to", "eagle3", *target, "--repair", "--sort")
    assert found["notes"] == [
        "Dropped 1 repeated ids.",
        "Added 1, which end a turn.",
        "Put the ids in ascending order: rows of a head trained for the old order must move too.",
    ]
    again = vocab("inspect", out, *target)
    assert (again["first_ids"], again["problems"], again["target_vocab_size"]) == ([0, 1, 7, 42, 900], [], VOCAB)


def test_our_own_map_is_never_written_without_the_end_of_a_turn(vocab, refused, tmp_path, tokenizer):
    ids, out = tmp_path / "ids.txt", tmp_path / "index_map.safetensors"
    ids.write_text("7\n42\n")
    line = refused("convert", ids, out, "--to", "edgedraft", "--tokenizer", tokenizer)
    assert "holds the ids that end a turn; this map lacks, got 1 - edgedraft vocab convert --repair" in line
    assert not out.exists()
    told = vocab("convert", ids, tmp_path / "freq.pt", "--to", "fr-spec", "--tokenizer", tokenizer, told=True)
    assert "The map lacks 1: the drafter would never propose the end of a turn." in told
    assert "is in order of frequency; this map knows none, so ids ascend." in told


def test_an_ambiguous_file_is_asked_about(vocab, refused, tmp_path):
    torch.save(torch.tensor([3, 5, 9]), tmp_path / "d2t.pt")
    line = refused("inspect", tmp_path / "d2t.pt")
    assert line.startswith(f"edgedraft: {tmp_path / 'd2t.pt'}: two readings are possible: as ids 3 5 9, as offsets")
    assert vocab("inspect", tmp_path / "d2t.pt", "--kind", "modelopt")["first_ids"] == [3, 6, 11]
    assert vocab("inspect", tmp_path / "d2t.pt", "--kind", "absolute")["first_ids"] == [3, 5, 9]
    assert vocab("inspect", tmp_path / "d2t.pt", "--target-vocab-size", 11)["first_ids"] == [3, 5, 9]


def test_a_file_with_code_is_refused_in_one_line(refused, tmp_path):
    class Bomb:
        def __reduce__(self):
            return (print, ("boom",))

    torch.save(Bomb(), tmp_path / "bad.pt")
    assert "holds pickled code or objects, not only data, got print" in refused("inspect", tmp_path / "bad.pt")
    assert "holds pickled code" in refused("convert", tmp_path / "bad.pt", tmp_path / "o.txt", "--to", "text")
    assert [file.name for file in tmp_path.iterdir()] == ["bad.pt"]


def test_a_size_that_is_not_the_maps_is_refused(refused, tmp_path):
    np.save(tmp_path / "d2t.npy", np.array([1, 6]))
    np.save(tmp_path / "t2d.npy", np.isin(np.arange(10), [1, 7]))
    options = ("--target-vocab-size", 12)
    for part in (("inspect", tmp_path, *options), ("convert", tmp_path, tmp_path / "o", "--to", "text", *options)):
        assert "it was made for a target of 10 tokens, got 12 - give the target's own folder" in refused(*part)


def test_export_writes_lists_for_other_engines_from_counts(vocab, refused, tmp_path, tokenizer, make_counts):
    counts = np.zeros(VOCAB, np.int64)
    counts[[42, 7, 900]] = 30, 20, 10
    fingerprint = tokenizer_fingerprint(tokenizer / "tokenizer.json")
    write_counts(tmp_path / "counts", make_counts(counts, tokenizer_fingerprint=fingerprint))
    target = ("--vocab-size", 3, "--tokenizer", tokenizer)
    found = vocab("export", tmp_path / "counts", tmp_path / "freq.pt", "--to", "fr-spec", *target)
    assert torch.load(tmp_path / "freq.pt", weights_only=True) == [END, 42, 7]
    assert (found["coverage"], found["never_seen"], found["end_token_ids"]) == (50 / 60, 0, [END])
    vocab("export", tmp_path / "counts", tmp_path / "spec", "--to", "speculators", *target)
    assert torch.load(tmp_path / "spec" / "token_freq.pt", weights_only=True) == {7: 20, 42: 30, 900: 10}
    assert np.flatnonzero(np.load(tmp_path / "spec" / "t2d.npy")).tolist() == [END, 7, 42]
    options = ("--to", "text", "--vocab-size", 6, "--tokenizer", tokenizer)
    told = vocab("export", tmp_path / "spec" / "token_freq.pt", tmp_path / "ids.txt", *options, told=True)
    assert (tmp_path / "ids.txt").read_text().split() == ["1", "42", "7", "900", "0", "2"]
    assert "2 of them were never seen: they were taken by the smallest id." in told
    line = refused("export", tmp_path / "counts", tmp_path / "x", "--to", "text", "--vocab-size", 3)
    assert line.endswith("counts do not say which ids end a turn - give the target's --tokenizer")


def test_export_ranks_by_a_saved_calibration_and_judges_by_its_other_half(vocab, tmp_path, make_counts):
    trace = AcceptanceTrace(
        target_ids=np.array([2, 3]),
        wanted=np.array([1, 1]),
        ids=np.array([2, 3], np.int32),
        log_probs_by_drafter=np.zeros(2, np.float32),
        offsets=np.array([0, 2]),
        cap=4,
    )
    ranking = {"target": make_counts([0, 0, 5, 1, 1]), "drafter": make_counts([0, 0, 0, 0, 9], source="drafter")}
    scoring = make_counts([3, 2, 2, 2, 1])
    calibration = Calibration(ranking=ranking, scoring_answers=(), scoring=scoring, trace=trace)
    save_calibration(tmp_path / "saved", calibration, [1])
    found = vocab("export", tmp_path / "saved", tmp_path / "freq.pt", "--to", "fr-spec", "--vocab-size", 3)
    assert torch.load(tmp_path / "freq.pt", weights_only=True) == [1, 2, 4]  # the drafter's counts break the tie
    assert found["coverage"] == 5 / 10
