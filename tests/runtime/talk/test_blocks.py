'''Lines become messages: one line, lines that a backslash joins, and blocks in """.'''

import pytest

from edgedraft.runtime.talk.blocks import MessageLines


def whole(*lines):
    """What every line gives: None while the message wants more."""
    typed = MessageLines()
    return [typed.add(line) for line in lines]


@pytest.mark.parametrize(
    ("lines", "given"),
    [
        (["hello"], ["hello"]),
        (["  hello  "], ["hello"]),
        ([""], [""]),
        (["one\\", "two\\", "three"], [None, None, "one\ntwo\nthree"]),
        (['"""one', "", '  two"""'], [None, None, "one\n\n  two"]),
        (['"""', "one\\", '"""'], [None, None, "one\\"]),
        (['"""one"""'], ["one"]),
        (['"""'], [None]),
        (['/system """be', 'brief"""'], [None, "/system be\nbrief"]),
        (['print("""x""")'], ['print("""x""")']),
        (["pasted\nlines\n\twith tabs"], ["pasted\nlines\n\twith tabs"]),
        (['"""pasted\nblock"""'], ["pasted\nblock"]),
        (["a \\\\", "b"], [None, "a \\\nb"]),
        (["one", "two\\", "three"], ["one", None, "two\nthree"]),
    ],
)
def test_lines(lines, given):
    assert whole(*lines) == given


def test_an_unfinished_message_is_given_up_or_taken():
    typed = MessageLines()
    assert not typed.unfinished and typed.rest() is None
    typed.add('"""one')
    assert typed.unfinished
    assert typed.rest() == "one"
    assert typed.add("two") == "two", "the block ended with it"
