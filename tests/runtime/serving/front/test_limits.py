"""As many connections as there are descriptors for, and never more."""

import pytest

from edgedraft.runtime.serving.front.limits import ClientLimits, fitting, of_this_process

LIMITS = ClientLimits(per_client=64, total=256)


@pytest.mark.parametrize(
    ("descriptors", "in_use", "total", "per_client"),
    [
        (None, 10_000, 256, 64),
        (20_000, 50, 256, 64),
        (1024, 100, 256, 64),
        (256, 40, 92, 64),
        (128, 40, 28, 28),
        (64, 40, 4, 4),
    ],
)
def test_connections_fit_the_descriptors(descriptors, in_use, total, per_client):
    limits = fitting(LIMITS, descriptors, in_use)
    assert (limits.total, limits.per_client) == (total, per_client)
    assert limits.head_seconds == LIMITS.head_seconds


def test_without_a_limit_of_the_system_nothing_changes(monkeypatch):
    monkeypatch.setattr("edgedraft.runtime.serving.front.limits.resource", None)
    assert of_this_process(LIMITS) == LIMITS
