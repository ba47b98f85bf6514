"""The close name is suggested, a far one is not."""

import pytest

from edgedraft.runtime.base.suggestions import did_you_mean


@pytest.mark.parametrize(
    ("name", "said"),
    [("benhc", "did you mean bench?"), ("expot", "did you mean export?"), ("zzz", None), ("", None)],
)
def test_suggestions(name, said):
    assert did_you_mean(name, ("export", "bench", "plan")) == said
