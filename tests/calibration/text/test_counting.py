"""The law of counting: the tokens of every assistant's turn up to its first end, each prompt in its own group."""

from collections import Counter

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from edgedraft.calibration.data.samples import GROUPS, Sample, add_digests, group_of
from edgedraft.calibration.text import words
from edgedraft.calibration.text.count_result import CountReport
from edgedraft.calibration.text.counting import SampleCounter
from edgedraft.calibration.text.spans import SpanFinder
from edgedraft.calibration.text.token_counter import Piece, TokenCounter, starts_specially
from edgedraft.calibration.text.word_pattern import WordPattern, word_pattern
from edgedraft.calibration.text.words import words_of
from edgedraft.runtime.base.errors import EdgedraftError

LAWS = settings(max_examples=150, deadline=None, derandomize=True, database=None)
END = "<|im_end|>"
PARTS = [
    "word",
    " It's",
    "'LL",
    "12",
    " x_y ",
    "\n\n  ",
    "\t",
    "é",
    "e\u0301",
    "中文",
    "👍🏽",
    "ſ",
    "'ſ",
    "\u2028",
    "½",
    "\u0378",
]
TEXTS = st.one_of(
    st.lists(st.sampled_from([*PARTS, END, "<think>", "<s"]), max_size=12).map("".join),
    st.text(st.characters(exclude_categories=["Cs"]), max_size=20),
)


def numbered(*samples):
    return enumerate(samples, start=1)


def count_samples(pairs, counting):
    counter = SampleCounter(counting)
    for number, sample in pairs:
        counter.add(number, sample)
    return counter.result()


def counter_of(codec, *end_token_ids) -> TokenCounter:
    return TokenCounter(codec, end_token_ids, words_of(codec))


def counted_by(counter, codec, pieces) -> list[int]:
    by_group = np.zeros((GROUPS, codec.tokenizer.get_vocab_size()), dtype=np.int64)
    counter.add(3, pieces)
    counter.flush(by_group)
    assert not np.delete(by_group, 3, axis=0).any()
    return by_group[3].tolist()


def tokens_of(codec, *texts, ends=True) -> Counter[int]:
    """One text after the other, each cut behind its first end."""
    found: Counter[int] = Counter()
    end = codec.tokenizer.token_to_id(END)
    for text in texts:
        ids = codec.encode(text)
        found.update(ids[: ids.index(end) + 1] if ends and end in ids else ids)
    return found


def nonzero(counts) -> dict[int, int]:
    return {int(place): int(counts[place]) for place in np.flatnonzero(counts)}


# --- the law ---------------------------------------------------------------------------------------------------------


def test_counts_are_those_of_every_turn_tokenized_alone(chat_codec, counting_of, conversation):
    codec = chat_codec()
    samples = [conversation(f"ask {END}", f"one {place}", "more", "it's\n two\n" * place) for place in range(1, 9)]
    tally = count_samples(numbered(*samples), counting_of(codec))
    said = [f"{m['content']}{END}" for s in samples for m in s.messages if m["role"] == "assistant"]
    assert nonzero(tally.counts.counts) == tokens_of(codec, *said)
    assert tally.report == CountReport(samples=8, counted=8, turns=16)


def test_every_sample_counts_in_its_own_group(chat_codec, counting_of, conversation):
    codec = chat_codec()
    samples = [conversation("ask", f"answer {place}") for place in range(40)]
    counts = count_samples(numbered(*samples), counting_of(codec)).counts
    for group in range(GROUPS):
        own = [sample for sample in samples if group_of(sample.digest) == group]
        assert counts.prompts_by_group[group] == len(own)
        assert nonzero(counts.by_group[group]) == tokens_of(codec, *(f"{s.messages[1]['content']}{END}" for s in own))
    assert counts.provenance.prompts_digest == add_digests(*(sample.digest for sample in samples))


def test_the_newline_behind_the_end_and_all_after_it_do_not_count(chat_codec, counting_of, conversation):
    codec = chat_codec()
    tally = count_samples(numbered(conversation("ask", f"one{END}never reached")), counting_of(codec))
    assert nonzero(tally.counts.counts) == Counter(codec.encode(f"one{END}"))


def test_answers_are_tokenized_apart_from_their_prompt(chat_codec, counting_of, conversation):
    """A joint encoding of the template's newline and the answer's would be one token, which no model generates."""
    codec = chat_codec()
    tally = count_samples(numbered(conversation("ask", "\n\n  x")), counting_of(codec))
    assert nonzero(tally.counts.counts) == Counter(codec.encode(f"\n\n  x{END}"))


def test_a_text_counts_whole(chat_codec, counting_of):
    codec = chat_codec()
    text = f"before{END} and behind\n"
    tally = count_samples(numbered(Sample(id="text", text=text)), counting_of(codec))
    assert nonzero(tally.counts.counts) == Counter(codec.encode(text))
    assert tally.report == CountReport(samples=1, counted=1, turns=1)


def test_without_a_template_the_first_end_closes_an_answer(chat_codec, counting_of, conversation):
    codec = chat_codec(None)
    tally = count_samples(numbered(conversation("ask", "one")), counting_of(codec, ("</s>", END)))
    assert nonzero(tally.counts.counts) == Counter(codec.encode("one</s>"))


# --- words and whole texts -------------------------------------------------------------------------------------------


@pytest.fixture(scope="module", params=["qwen", "gpt2"])
def counters(request, chat_codec):
    """A codec, and the quick and the plain counter of it."""
    codec = chat_codec(kind=request.param)
    end = codec.tokenizer.token_to_id(END)
    return codec, counter_of(codec, end), TokenCounter(codec, [end], None)


@LAWS
@given(texts=st.lists(TEXTS, max_size=4), ends=st.booleans())
def test_words_and_whole_texts_count_the_same(counters, texts, ends):
    codec, by_words, by_texts = counters
    assert words_of(codec) is not None
    unended = by_words.unended
    pieces = [Piece(text, ends=ends) for text in texts]
    want = tokens_of(codec, *texts, ends=ends)
    assert nonzero(np.array(counted_by(by_words, codec, pieces))) == want
    assert nonzero(np.array(counted_by(by_texts, codec, pieces))) == want
    assert by_words.unended == by_texts.unended == unended + sum(END not in text for text in texts) * ends


def test_most_text_is_counted_by_words(chat_codec):
    """Else the quick way would be right by never being taken."""
    pattern = word_pattern(chat_codec())
    assert pattern is not None
    assert pattern.words("It's 中文,\n\n  é 12") == ["It", "'s", " 中文", ",\n\n", " ", " é", " ", "1", "2"]


def test_a_character_that_case_may_turn_into_another_is_left_to_the_tokenizer(chat_codec):
    pattern = word_pattern(chat_codec())
    assert pattern is not None and pattern.words("'ſ") is None and pattern.words("'é") == ["'é"]


def test_a_character_that_later_unicode_may_combine_is_left_to_the_tokenizer(chat_codec):
    pattern = word_pattern(chat_codec())
    assert pattern is not None and pattern.words("a\u0378") is None


def test_words_that_differ_from_the_tokenizers_are_found_out(chat_codec, monkeypatch):
    wrong = WordPattern(r"\p{L}+|\p{N}| ?[^\s\p{L}\p{N}]+|\s+")
    monkeypatch.setattr(words, "word_pattern", lambda codec: wrong)
    assert words_of(chat_codec()) is None


def test_an_end_that_is_an_ordinary_token_is_looked_for_among_the_ids(chat_codec):
    codec = chat_codec()
    (end,) = codec.encode("x")
    counter = counter_of(codec, end)
    assert nonzero(np.array(counted_by(counter, codec, [Piece("a1x2", ends=True)]))) == Counter(codec.encode("a1x"))


@pytest.mark.parametrize(
    "pattern",
    [r"\p{L}++", r"(a)", r"[a-z]+", r"\d+", r".", r"[\S]", r"^a", r"中", r"(?<=a)b", r"[^\p{L}&&x]", r"a{2}+"],
)
def test_a_pattern_that_may_mean_something_else_is_refused(pattern):
    with pytest.raises(ValueError):
        WordPattern(pattern)


def test_memory_is_bounded_by_asking_to_be_flushed(chat_codec, monkeypatch):
    monkeypatch.setattr("edgedraft.calibration.text.token_counter._FULL_CHARACTERS", 10)
    codec = chat_codec()
    end = codec.tokenizer.token_to_id(END)
    for counter in (counter_of(codec, end), TokenCounter(codec, [end], None)):
        counter.add(0, [Piece("12345", ends=False)])
        assert not counter.is_full
        counter.add(0, [Piece("12345", ends=False)])
        assert counter.is_full
        counter.flush(np.zeros((GROUPS, codec.tokenizer.get_vocab_size()), dtype=np.int64))
        assert not counter.is_full


@pytest.mark.parametrize("most_characters", [1, 20, 2**21])
def test_counters_that_share_words_count_as_if_alone(chat_codec, monkeypatch, most_characters):
    """Two at once and one after them, also where the words are forgotten between."""
    codec = chat_codec()
    end = codec.tokenizer.token_to_id(END)
    parts = [
        [Piece(f"{first} value{first} it's é{END}", ends=True), Piece("index 中文", ends=False)] for first in "abc"
    ]
    alone = [counted_by(TokenCounter(codec, [end], None), codec, pieces) for pieces in parts]
    monkeypatch.setattr("edgedraft.calibration.text.words._MOST_CHARACTERS", most_characters)
    one, other, last = (counter_of(codec, end) for _ in parts)
    assert one._words is other._words is last._words is not None
    for counter, pieces in ((one, parts[0]), (other, parts[1])):
        counter.add(0, pieces)
    by_group = np.zeros((2, GROUPS, codec.tokenizer.get_vocab_size()), dtype=np.int64)
    for counter, counts in ((one, by_group[0]), (other, by_group[1])):
        counter.flush(counts)
    assert [counts.sum(axis=0).tolist() for counts in by_group] == alone[:2]
    assert counted_by(last, codec, parts[2]) == alone[2]


# --- tokenizers that put a space before every text -------------------------------------------------------------------


def test_a_start_of_text_that_is_treated_specially_is_found_out(chat_codec):
    assert starts_specially(chat_codec(kind="spaced"))
    assert not starts_specially(chat_codec(kind="qwen"))
    assert not starts_specially(chat_codec(kind="gpt2"))


def test_such_tokenizers_encode_an_answer_behind_its_prompt(chat_codec, counting_of, conversation):
    codec = chat_codec(kind="spaced")
    tally = count_samples(numbered(conversation("ask", "ab", "more", "b")), counting_of(codec))
    letters = ["ab", END, "b", END]
    assert nonzero(tally.counts.counts) == Counter(map(codec.tokenizer.token_to_id, letters))
    assert codec.tokenizer.token_to_id("▁a") in codec.encode(f"ab{END}"), "apart, the answer has another start"


def test_a_token_over_the_boundary_is_reported_not_guessed(chat_codec, counting_of, conversation):
    codec = chat_codec(None, kind="spaced")
    finder = SpanFinder(codec, END, with_prompts=True)
    (turn,) = finder.find(conversation("ask", "b")).turns
    counter = TokenCounter(codec, [0], None)
    with pytest.raises(EdgedraftError, match="a token reaches from the prompt into the answer"):
        counter.add(0, [Piece(turn.text, True, f"{turn.before}a")])
    assert not any(counted_by(counter, codec, []))


# --- what is reported ------------------------------------------------------------------------------------------------


def test_what_cannot_be_counted_is_reported_and_counts_nothing(chat_codec, counting_of, conversation):
    samples = [
        conversation("ask"),
        conversation("ask", "one", "more", "  "),
        conversation("ask", "one", system="Be short."),
        conversation("ask", " "),
    ]
    tally = count_samples(numbered(*samples), counting_of(chat_codec("alternating"), ("<end_of_turn>",)))
    report = tally.report
    assert (report.samples, report.counted, report.without_assistant, report.broken) == (4, 1, 2, 1)
    assert (report.turns, report.empty_turns, report.unended_turns) == (1, 2, 0)
    (problem,) = report.problems
    assert (problem.number, problem.id) == (3, "one")
    assert problem.reason == "chat_template.jinja cannot render this conversation, got no system here"
    assert tally.counts.prompts == 1
    assert tally.counts.provenance.prompts_digest == add_digests(samples[1].digest)


def test_turns_that_hold_no_end_are_reported(chat_codec, counting_of, conversation):
    tally = count_samples(numbered(conversation("ask", "one", "more", "two")), counting_of(chat_codec(), ("</s>",)))
    assert tally.report.unended_turns == 2


def test_reports_add_in_any_order(chat_codec, counting_of, conversation):
    counting = counting_of(chat_codec("alternating"), ("<end_of_turn>",))
    pairs = [*numbered(*(conversation("ask", "one", system="no" if place % 2 else None) for place in range(30)))]
    parts = [count_samples(pairs[place::3], counting) for place in range(3)]
    whole = count_samples(pairs, counting)
    for order in ([0, 1, 2], [2, 0, 1], [1, 2, 0]):
        tally = parts[order[0]] + parts[order[1]] + parts[order[2]]
        assert tally.report == whole.report
        assert (tally.counts.by_group == whole.counts.by_group).all()
        assert tally.counts.provenance == whole.counts.provenance


def test_an_id_outside_the_vocabulary_is_refused(chat_codec, counting_of, conversation):
    codec = chat_codec()
    end = codec.tokenizer.token_to_id(END)
    counting = counting_of(codec, vocab_size=end + 1)
    with pytest.raises(EdgedraftError, match=rf"token ids must lie in 0\.\.{end}, got \d+$"):
        count_samples(numbered(conversation("ask", "<think>")), counting)


@pytest.mark.parametrize(
    ("ends", "rule"), [((), "expected an end token id"), ((10**6,), "end token ids must lie in 0")]
)
def test_end_tokens_are_needed_and_checked(chat_codec, counting_of, ends, rule):
    with pytest.raises(EdgedraftError, match=rule):
        counting_of(chat_codec(), end_token_ids=ends)
