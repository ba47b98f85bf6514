"""A line for each event, few lines in all, and the loggers of others as they were."""

import logging

import pytest

from edgedraft.runtime.serving.front.log_lines import LOGGERS, LineLimit, bounded_log


@pytest.fixture
def logged():
    """A logger with a `LineLimit`, what it has written, and a clock."""
    lines, now = [], [0.0]

    class Handler(logging.Handler):
        def emit(self, record):
            lines.append(self.format(record))

    logger = logging.Logger("test")
    logger.addHandler(Handler())
    logger.addFilter(LineLimit(3, 10.0, lambda: now[0]))
    return logger, lines, now


def test_few_lines_pass_and_the_next_one_counts_the_rest(logged):
    logger, lines, now = logged
    for number in range(100):
        logger.warning("event %d", number)
    assert lines == ["event 0", "event 1", "event 2"]
    now[0] = 10.0
    logger.warning("later")
    logger.warning("too soon")
    assert lines[3:] == ["(97 lines left out) later"]


def test_an_error_is_one_line_without_its_traceback(logged):
    logger, lines, _ = logged
    try:
        raise RuntimeError("our bug\nsecond line")
    except RuntimeError:
        logger.exception("Exception in ASGI application\n")
    logger.error("a\x1b[2Jb" + "x" * 1000)
    assert lines[0].startswith("Exception in ASGI application : RuntimeError: our bug (test_log_lines.py:")
    assert "\n" not in lines[0]
    assert lines[1].startswith("a [2Jb") and len(lines[1]) == 300


def test_afterwards_the_loggers_are_as_before():
    before = [list(logging.getLogger(name).filters) for name in LOGGERS]
    with bounded_log():
        assert [len(logging.getLogger(name).filters) for name in LOGGERS] == [len(each) + 1 for each in before]
    assert [logging.getLogger(name).filters for name in LOGGERS] == before
