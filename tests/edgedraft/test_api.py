"""The public API: load a bundle, answer a text or a conversation, whole or in pieces."""

import edgedraft
from edgedraft.runtime.engine import DecodingOptions


def test_the_public_names_are_few():
    assert len(edgedraft.__all__) <= 8
    assert all(hasattr(edgedraft, name) for name in edgedraft.__all__)


def test_a_bundle_answers_whole_in_pieces_and_as_chat(tiny_bundle):
    model = edgedraft.load(tiny_bundle)
    whole = model.generate("sort the list", max_new_tokens=24, options=DecodingOptions(speculate=False))
    pieces = list(model.stream("sort the list", max_new_tokens=24, options=DecodingOptions(policy="fixed")))
    chat = model.generate([{"role": "user", "content": "sort the list"}], max_new_tokens=24)
    assert "".join(piece.text for piece in pieces) == whole == chat
    assert {piece.drafted for piece in pieces} == {True, False}, "some pieces were drafted and some were not"


def test_a_stop_string_ends_an_answer(tiny_bundle):
    model = edgedraft.load(str(tiny_bundle))
    whole = model.generate("sort the list", max_new_tokens=24)
    stop = whole[5:8]
    assert model.generate("sort the list", max_new_tokens=24, stop=[stop]) == whole[: whole.index(stop)]
