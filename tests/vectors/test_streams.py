"""Text as it comes, in whole characters and without stop texts: what TypeScript shows too."""

import pytest

from edgedraft.runtime.text.streaming import TextStream


@pytest.mark.section("streams")
def test_pieces_of_a_stream(case, byte_codec, token_ids):
    stream = TextStream(byte_codec, case["stop"])
    assert [stream.push(token_id) for token_id in token_ids(case["tokens"])] == case["pieces"]
    assert (stream.finish(), stream.stopped) == (case["rest"], case["stopped"])
