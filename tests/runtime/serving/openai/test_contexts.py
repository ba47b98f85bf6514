"""The context is the model's own where all slots fit into half of the free memory."""

import pytest

from edgedraft.runtime.base.free_memory import free_memory_bytes
from edgedraft.runtime.serving.openai.contexts import fitting_context


@pytest.mark.parametrize(
    ("free", "fits"), [(None, 32_768), (10**12, 32_768), (8 * 10**6, 1000), (8 * 10**5, 512), (0, 512)]
)
def test_the_context_follows_the_memory(free, fits):
    assert fitting_context(32_768, 1000, 4, free) == fits


def test_a_short_model_keeps_its_context():
    assert fitting_context(256, 1000, 4, 0) == 256


def test_memory_is_the_systems_or_what_a_container_leaves(tmp_path):
    assert free_memory_bytes(tmp_path) is None
    (tmp_path / "proc").mkdir()
    (tmp_path / "proc" / "meminfo").write_text("MemTotal: 9 kB\nMemAvailable:       2000 kB\n")
    assert free_memory_bytes(tmp_path) == 2_048_000
    group = tmp_path / "sys" / "fs" / "cgroup"
    group.mkdir(parents=True)
    (group / "memory.max").write_text("max\n")
    (group / "memory.current").write_text("500\n")
    assert free_memory_bytes(tmp_path) == 2_048_000
    (group / "memory.max").write_text("1500\n")
    assert free_memory_bytes(tmp_path) == 1000
