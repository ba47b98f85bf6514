"""One exception root whose text is one line: rule, got, remedy."""

import errno
from pathlib import Path

import pytest

from edgedraft.runtime.base.errors import EdgedraftError, MissingExtraError, full_disk_is_users

ANSWER = Path("folder/file")


@pytest.mark.parametrize(
    ("error", "text"),
    [
        (EdgedraftError("a rule"), "a rule"),
        (EdgedraftError("a rule", got=0), "a rule, got 0"),
        (EdgedraftError("a rule", remedy="mend it"), "a rule - mend it"),
        (EdgedraftError("a rule", got="this", remedy="mend it"), "a rule, got this - mend it"),
        (MissingExtraError("torch", "export"), 'torch is not installed - pip install "edgedraft[export]"'),
    ],
)
def test_the_text_says_rule_got_and_remedy(error, text):
    assert str(error) == text


def test_a_missing_extra_is_an_edgedraft_error():
    assert issubclass(MissingExtraError, EdgedraftError)


@pytest.mark.parametrize("number", [errno.ENOSPC, errno.EDQUOT, errno.EFBIG])
def test_no_room_left_is_the_users_to_mend(number, raises_exactly):
    remedy = "free some space or choose another folder; nothing that was there before was changed"
    expected = f"folder/file: no room left while writing, got the reason - {remedy}"
    with raises_exactly(expected), full_disk_is_users(ANSWER):
        raise OSError(number, "the reason")


def test_other_errors_pass_as_they_are():
    with pytest.raises(PermissionError), full_disk_is_users(ANSWER):
        raise PermissionError(errno.EACCES, "no")
    with pytest.raises(KeyError), full_disk_is_users(ANSWER):
        raise KeyError("other")
