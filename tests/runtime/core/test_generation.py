"""An answer ends where its limits say, and its text streams as it comes."""

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from edgedraft.runtime.core.limits import Limits, limited
from edgedraft.runtime.core.rounds import Round
from edgedraft.runtime.text.codec import TextCodec
from edgedraft.runtime.text.streaming import TextPiece, TextStream, text_pieces

LAWS = settings(max_examples=200, deadline=None, derandomize=True, database=None)


@st.composite
def rounds_of(draw):
    """Rounds as a decoding loop gives them: the first commits one token, the others ``accepted`` + 1."""
    rounds = [Round(token_ids=(draw(st.integers(0, 9)),))]
    for _ in range(draw(st.integers(0, 5))):
        ids = tuple(draw(st.lists(st.integers(0, 9), min_size=1, max_size=5)))
        refused = draw(st.integers(0, 2))
        rounds.append(Round(token_ids=ids, drafted=len(ids) - 1 + refused, accepted=len(ids) - 1))
    return rounds


def round_(*ids, proposed=0):
    return Round(token_ids=ids, drafted=max(proposed, len(ids) - 1), accepted=len(ids) - 1)


def test_an_answer_is_cut_at_its_length():
    rounds = [round_(1), round_(2, 3, 4), round_(5, 6, 7)]
    kept = list(limited(rounds, Limits(max_new_tokens=5)))
    assert kept == [round_(1), round_(2, 3, 4), Round(token_ids=(5,), drafted=2, accepted=1)]


def test_an_answer_ends_with_its_end_token():
    rounds = [round_(1), round_(2, 9, 4), round_(5)]
    kept = list(limited(rounds, Limits(max_new_tokens=50, end_token_ids=(8, 9))))
    assert kept == [round_(1), Round(token_ids=(2, 9), drafted=2, accepted=2)]


def test_an_answer_may_end_with_its_first_token():
    assert list(limited([round_(9), round_(1)], Limits(max_new_tokens=5, end_token_ids=(9,)))) == [round_(9)]
    assert list(limited([round_(1), round_(2)], Limits(max_new_tokens=1))) == [round_(1)]


def test_rounds_that_stop_by_themselves_are_all_kept():
    assert list(limited([round_(1), round_(2, 3)], Limits(max_new_tokens=50))) == [round_(1), round_(2, 3)]


def test_no_round_is_decoded_beyond_the_end():
    def rounds():
        yield round_(1)
        yield round_(2, 9)
        raise AssertionError("decoded on after the end")

    assert len(list(limited(rounds(), Limits(max_new_tokens=50, end_token_ids=(9,))))) == 2
    assert len(list(limited(rounds(), Limits(max_new_tokens=3)))) == 2


@LAWS
@given(rounds=rounds_of(), length=st.integers(1, 20), ends=st.sets(st.integers(0, 9), max_size=2))
def test_what_is_kept_is_the_beginning_of_the_text_up_to_the_first_end(rounds, length, ends):
    kept = list(limited(rounds, Limits(max_new_tokens=length, end_token_ids=tuple(ends))))
    text = [token for one in rounds for token in one.token_ids][:length]
    first_end = next((position for position, token in enumerate(text) if token in ends), len(text))
    assert [token for one in kept for token in one.token_ids] == text[: first_end + 1]


@LAWS
@given(rounds=rounds_of(), length=st.integers(1, 20), ends=st.sets(st.integers(0, 9), max_size=2))
def test_a_cut_round_never_claims_more_accepted_than_it_kept(rounds, length, ends):
    *whole, last = limited(rounds, Limits(max_new_tokens=length, end_token_ids=tuple(ends)))
    before = rounds[len(whole)]
    assert whole == rounds[: len(whole)]
    assert last.accepted == min(before.accepted, len(last.token_ids))
    assert last.drafted == before.drafted


@pytest.mark.parametrize("length", [0, -1])
def test_an_answer_has_at_least_one_token(length, raises_exactly):
    with raises_exactly(f"max_new_tokens must be at least 1, got {length}"):
        Limits(max_new_tokens=length)


@pytest.fixture(scope="module")
def codec(byte_tokenizer, tmp_path_factory):
    folder = tmp_path_factory.mktemp("codec")
    byte_tokenizer(merges=["END"]).save(str(folder / "tokenizer.json"))
    return TextCodec(folder)


def test_each_piece_says_whether_its_last_token_was_drafted(codec):
    a, b, c, d = codec.encode("abcd")
    pieces = list(text_pieces([round_(a), round_(b, c, d)], TextStream(codec)))
    assert pieces == [
        TextPiece(text="a", drafted=False, token_ids=(a,)),
        TextPiece(text="b", drafted=True, token_ids=(b,)),
        TextPiece(text="c", drafted=True, token_ids=(c,)),
        TextPiece(text="d", drafted=False, token_ids=(d,)),
    ]


def test_a_character_spread_over_rounds_comes_with_its_last_byte(codec):
    ids = codec.encode("é😀")
    pieces = list(text_pieces([round_(ids[0]), round_(*ids[1:4]), round_(*ids[4:])], TextStream(codec)))
    assert pieces == [
        TextPiece(text="é", drafted=True, token_ids=tuple(ids[:2])),
        TextPiece(text="😀", drafted=False, token_ids=tuple(ids[2:])),
    ]


def test_a_stop_string_spread_over_tokens_and_rounds_is_not_shown(codec):
    ids = codec.encode("ab\n\ncd")
    pieces = list(text_pieces([round_(*ids[:3]), round_(*ids[3:])], TextStream(codec, ["\n\n"])))
    assert [piece.text for piece in pieces] == ["a", "b", ""]
    assert [token for piece in pieces for token in piece.token_ids] == ids[:4], "the stop string's tokens are kept"


def test_a_stop_string_may_hold_characters_of_several_bytes(codec):
    ids = codec.encode("a😀éb")
    pieces = list(text_pieces([round_(token) for token in ids], TextStream(codec, ["😀é"])))
    assert [piece.text for piece in pieces] == ["a", ""]


def test_nothing_is_decoded_after_a_stop_string(codec):
    def rounds():
        yield round_(*codec.encode("xEND"))
        raise AssertionError("decoded on after the stop string")

    assert [piece.text for piece in text_pieces(rounds(), TextStream(codec, ["END"]))] == ["x", ""]


def test_text_held_for_a_stop_string_is_shown_when_the_answer_ends(codec):
    a, *held = codec.encode("aEN")
    pieces = list(text_pieces([round_(a), *(round_(token) for token in held)], TextStream(codec, ["END"])))
    assert pieces == [
        TextPiece(text="a", drafted=False, token_ids=(a,)),
        TextPiece(text="EN", drafted=False, token_ids=tuple(held)),
    ]


def test_an_end_token_has_no_text_but_is_not_lost(codec):
    a, end = codec.encode("a<|end|>")
    assert list(text_pieces([round_(a, end)], TextStream(codec))) == [
        TextPiece(text="a", drafted=True, token_ids=(a,)),
        TextPiece(text="", drafted=False, token_ids=(end,)),
    ]


def scored(ids, sizes):
    """Rounds of ``sizes`` over ``ids``, each token's log-probability minus its place."""
    rounds, start = [], 0
    for size in sizes:
        part = tuple(ids[start : start + size])
        if part:
            scores = tuple(-float(start + place) for place in range(len(part)))
            rounds.append(Round(token_ids=part, drafted=len(part) - 1, accepted=len(part) - 1, log_probs=scores))
        start += size
    return rounds


@LAWS
@given(text=st.text("aEND é😀\n", max_size=20), sizes=st.lists(st.integers(1, 4), min_size=20, max_size=80))
def test_pieces_join_to_the_whole_answer(codec, text, sizes):
    ids = codec.encode(text)[: sum(sizes)]
    rounds = scored(ids, sizes)
    pieces = list(text_pieces(rounds, TextStream(codec, ["never there"])))
    assert "".join(piece.text for piece in pieces) == codec.decode(ids).rstrip("\ufffd")
    assert [token for piece in pieces for token in piece.token_ids] == ids
    assert [score for piece in pieces for score in piece.log_probs] == [-float(place) for place in range(len(ids))]
    assert all(piece.text for piece in pieces[:-1])


@LAWS
@given(text=st.text("aEND é", max_size=20), sizes=st.lists(st.integers(1, 4), min_size=20, max_size=80))
def test_pieces_before_a_stop_string_hold_the_tokens_of_their_text(codec, text, sizes):
    ids = codec.encode(text)[: sum(sizes)]
    pieces = list(text_pieces(scored(ids, sizes), TextStream(codec, ["END", "ND"])))
    shown = "".join(piece.text for piece in pieces)
    found = [token for piece in pieces for token in piece.token_ids]
    ends = [place for stop in ("END", "ND") if (place := codec.decode(ids).find(stop)) >= 0]
    assert shown == codec.decode(ids)[: min(ends, default=None)].rstrip("\ufffd")
    assert found == ids[: len(found)]
    assert codec.decode(found).startswith(shown)
    assert len([score for piece in pieces for score in piece.log_probs]) == len(found)


def test_cutting_an_answer_cuts_its_log_probabilities():
    (whole,) = scored([1, 2, 3], [3])
    (cut,) = limited([whole], Limits(max_new_tokens=2))
    assert (cut.token_ids, cut.log_probs) == ((1, 2), (0.0, -1.0))
