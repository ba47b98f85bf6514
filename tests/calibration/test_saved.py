"""A saved calibration comes back as it was; a counts file is a calibration that only ranks."""

import dataclasses
import json

import numpy as np
import pytest

from edgedraft.calibration.answers.sampling import SampledAnswer
from edgedraft.calibration.counts_file import write_counts
from edgedraft.calibration.run import Calibration
from edgedraft.calibration.saved import load_calibration, save_calibration
from edgedraft.calibration.trace.greedy import trace_answers
from edgedraft.runtime.base.errors import EdgedraftError


@pytest.fixture
def calibration(make_counts, scripted) -> Calibration:
    answers = (SampledAnswer(prompt_id="a", prompt_ids=(1, 2), token_ids=(3, 4, 5)),)
    return Calibration(
        ranking={"drafter": make_counts([1, 2, 0], source="drafter"), "target": make_counts([3, 0, 1])},
        scoring_answers=answers,
        scoring=make_counts([0, 1, 1]),
        trace=trace_answers(scripted(0), answers),
    )


def test_it_comes_back_as_it_was(calibration, tmp_path):
    save_calibration(tmp_path / "saved", calibration, [7, 9])
    found = load_calibration(tmp_path / "saved")
    assert list(found.ranking) == ["drafter", "target"]
    assert found.end_token_ids == (7, 9)
    for source, counts in calibration.ranking.items():
        assert np.array_equal(found.ranking[source].by_group, counts.by_group)
    assert found.judged is found.scoring
    assert np.array_equal(found.scoring.counts, calibration.scoring.counts)
    for field in dataclasses.fields(calibration.trace):
        assert np.array_equal(getattr(found.trace, field.name), getattr(calibration.trace, field.name))


def test_saving_again_replaces_the_folder(calibration, tmp_path):
    save_calibration(tmp_path / "saved", calibration, [7])
    fewer = dataclasses.replace(calibration, ranking={"target": calibration.ranking["target"]})
    save_calibration(tmp_path / "saved", fewer, [7])
    assert sorted(file.name for file in (tmp_path / "saved").iterdir()) == [
        "calibration.json",
        "ranking-target.safetensors",
        "scoring.safetensors",
        "trace.safetensors",
    ]


def test_a_users_own_folder_and_file_stay(calibration, tmp_path):
    (tmp_path / "mine").mkdir()
    for name in ("mine/thesis.txt", "thesis.txt"):
        (tmp_path / name).write_text("years of work")
        path = tmp_path / name.split("/")[0]
        with pytest.raises(EdgedraftError, match=f"{path}: .* a calibration"):
            save_calibration(path, calibration, [7])
        assert (tmp_path / name).read_text() == "years of work"


def test_a_calibration_with_a_file_of_the_users_stays(calibration, tmp_path):
    save_calibration(tmp_path / "saved", calibration, [7])
    (tmp_path / "saved" / "notes.txt").write_text("mine")
    with pytest.raises(EdgedraftError, match=r"nothing but a calibration, got notes\.txt - choose a new"):
        save_calibration(tmp_path / "saved", calibration, [7])


def test_counts_alone_rank_and_are_judged(make_counts, tmp_path):
    write_counts(tmp_path / "text.safetensors", make_counts([1, 5], source="text"))
    found = load_calibration(tmp_path / "text.safetensors")
    assert list(found.ranking) == ["text"]
    assert found.judged is found.ranking["text"]
    assert (found.trace, found.end_token_ids) == (None, ())


@pytest.mark.parametrize(
    ("facts", "message"),
    [
        ({"sources": [], "end_token_ids": []}, r"sources: expected at least one, got none$"),
        ({"end_token_ids": []}, r"calibration\.json: missing key sources$"),
        ({"sources": ["target"], "end_token_ids": ["x"]}, r"end_token_ids\[0\]: expected int, got 'x'$"),
        ({"sources": ["target"], "end_token_ids": []}, r"ranking-target\.safetensors: no such file$"),
    ],
)
def test_a_broken_folder_says_where(tmp_path, facts, message):
    (tmp_path / "calibration.json").write_text(json.dumps(facts))
    with pytest.raises(EdgedraftError, match=message):
        load_calibration(tmp_path)


def test_no_folder_is_told(tmp_path):
    with pytest.raises(EdgedraftError, match=r"gone: no such file$"):
        load_calibration(tmp_path / "gone")


def test_a_folder_put_together_from_two_tokenizers_is_refused(calibration, make_counts, tmp_path):
    save_calibration(tmp_path / "saved", calibration, [7])
    scoring = calibration.scoring
    provenance = dataclasses.replace(scoring.provenance, tokenizer_fingerprint="another")
    write_counts(tmp_path / "saved" / "scoring.safetensors", dataclasses.replace(scoring, provenance=provenance))
    with pytest.raises(EdgedraftError) as error:
        load_calibration(tmp_path / "saved")
    wanted = scoring.provenance.tokenizer_fingerprint[:12]
    assert str(error.value) == (
        f"{tmp_path / 'saved'}: the trace holds ids of the tokenizer {wanted}, its counts must too, got another - "
        "save one calibration whole"
    )
