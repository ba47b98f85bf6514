"""Calibrating a real tiny pair: whatever the batch, the same answers; what decides them names the folder."""

import dataclasses

import numpy as np
import pytest

from edgedraft.calibration.answers.batched import Draws
from edgedraft.exporter.pipeline.calibrating import AnswerSettings, calibrate_pair
from edgedraft.exporter.planning.ranking import token_order
from edgedraft.runtime.base.errors import EdgedraftError
from edgedraft.runtime.core.decoding import plain_rounds
from edgedraft.runtime.core.limits import Limits, limited
from edgedraft.runtime.core.sampling import SamplingSettings

ALL = ("accepted", "target", "drafter")


@pytest.fixture
def few(tiny_prompts):
    return dataclasses.replace(tiny_prompts.at_most(5), max_new_tokens=20)


def folders(cache):
    return sorted(path.name for path in (cache / "calibration").iterdir())


def tokens(calibration):
    return [entry.token_ids for entry in calibration.scoring_answers]


def test_answers_are_the_targets_own_whatever_the_batch(tiny_opened, few, tmp_path):
    limits = Limits(max_new_tokens=20, end_token_ids=tiny_opened.end_token_ids)
    model = tiny_opened.target_model
    found = [
        calibrate_pair(tiny_opened, few, tmp_path / str(rows), settings=AnswerSettings(batch_rows=rows))
        for rows in (1, 3, 8)
    ]
    for entry in found[0].scoring_answers:
        model.rewind(0)
        rounds = limited(plain_rounds(model, entry.prompt_ids), limits)
        assert entry.token_ids == tuple(token for turn in rounds for token in turn.token_ids)
    assert tokens(found[0]) == tokens(found[1]) == tokens(found[2])
    assert np.array_equal(found[0].ranking["drafter"].by_group, found[2].ranking["drafter"].by_group)


def test_drawn_answers_repeat_by_seed_and_have_a_folder_of_their_own(tiny_opened, few, tmp_path):
    def drawn(seed, rows, cache):
        draws = Draws(settings=SamplingSettings(temperature=1.2), seed=seed)
        settings = AnswerSettings(draws=draws, batch_rows=rows)
        return calibrate_pair(tiny_opened, few, tmp_path / cache, settings=settings)

    first, again, other = drawn(1, 3, "one"), drawn(1, 8, "two"), drawn(2, 3, "one")
    assert tokens(first) == tokens(again) != tokens(other)
    assert np.array_equal(first.trace.ids, again.trace.ids)
    assert len(folders(tmp_path / "one")) == 2
    assert folders(tmp_path / "two")[0] in folders(tmp_path / "one"), "the batch's size decides nothing"


def test_sources_rank_in_the_order_asked_for(tiny_opened, few, make_counts, tmp_path):
    text = make_counts(np.arange(1024), source="text", tokenizer_fingerprint=tiny_opened.fingerprint)
    settings = AnswerSettings(sources=("text", *ALL), text=text)
    found = calibrate_pair(tiny_opened, few, tmp_path, settings=settings)
    assert tuple(found.ranking) == ("text", *ALL)
    order = token_order(tiny_opened, found)
    ends = len(tiny_opened.end_token_ids)
    assert order[ends : ends + 3].tolist() == [1023, 1022, 1021]


def test_text_that_was_not_counted_cannot_rank():
    with pytest.raises(EdgedraftError, match=r"^ranking by text needs counted text - count it with"):
        AnswerSettings(sources=("text",))


def test_counts_of_another_tokenizer_are_refused_before_anything_is_sampled(tiny_opened, few, make_counts, tmp_path):
    settings = AnswerSettings(sources=("text",), text=make_counts([1, 2], source="text"))
    with pytest.raises(EdgedraftError, match=r"^counted text: expected the tokenizer \w{12}, got print$"):
        calibrate_pair(tiny_opened, few, tmp_path, settings=settings)
    assert not (tmp_path / "calibration").exists()


def test_what_draws_nothing_is_refused():
    draws = Draws(settings=SamplingSettings(temperature=0, repetition_penalty=1.1))
    with pytest.raises(EdgedraftError, match=r"^a penalty or a bias needs a temperature above 0 here, got 0"):
        AnswerSettings(draws=draws)
