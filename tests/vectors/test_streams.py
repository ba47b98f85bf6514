"""Text as it comes, in whole characters and without stop texts: what TypeScript shows too."""

import pytest

from edgedraft.runtime.text.streaming import TextStream


@pytest.mark.section("streams")
def test_pieces_of_a_stream(case, byte_codec, token_ids):
    stream = TextStream(byte_codec, case["stop"])
    assert [stream.push(token_id) for token_id in token_ids(case["tokens"])] == case["pieces"]
    assert (stream.finish(), stream.stopped) == (case["rest"], case["stopped"])


@pytest.mark.section("byte_tokens")
def test_pieces_of_a_stream_of_bytes(case, fallback_codec, fallback_ids):
    codec, ids = fallback_codec(), fallback_ids(case["tokens"])
    stream = TextStream(codec)
    assert [stream.push(token_id) for token_id in ids] == case["pieces"]
    assert stream.finish() == case["rest"]
    whole = codec.decode(ids)
    assert "".join(case["pieces"]) + case["rest"] == (whole if case["rest"] else whole.rstrip("\ufffd"))
