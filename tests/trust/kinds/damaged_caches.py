"""Damaged caches: with any damage in the cache, the bundle is the same as from an undamaged one."""

import os
from collections.abc import Iterator
from pathlib import Path
from random import Random

from tests.trust.frame import Trial, Verdict, kind
from tests.trust.subjects import tree
from tests.trust.watching.commands import SCENES
from tests.trust.watching.scenes import require_no_litter
from tests.trust.watching.scenes import stage as shared_stage


@kind("damaged-caches", promise="damaged work in the cache is made again, never used", trials=500)
def damaged_caches(folder: Path) -> Iterator[Trial]:
    """Damage a file in the cache, keep its time, and export."""
    stage = shared_stage()

    def trial(number: int, rng: Random) -> Verdict:
        where = stage.set(SCENES[0])
        files = sorted(file for file in (where / "cache").rglob("*") if file.is_file() and file.stat().st_size)
        damaged = files[number % len(files)]
        how = damage(damaged, rng)
        end = stage.run(SCENES[0], where)
        name = damaged.relative_to(where)
        assert end.code == 0, f"{name} {how}: exit {end.code}: {end.last_line}"
        assert tree(where / "place/out") == tree(where / "bundle"), f"{name} {how}: another bundle"
        require_no_litter(where)
        return Verdict.HELD

    yield trial


def damage(file: Path, rng: Random) -> str:
    """Damage a file as a disk or a power loss may, keep its times, and return a description."""
    before, content = file.stat(), bytearray(file.read_bytes())
    start = rng.randrange(len(content))
    end = min(len(content), start + rng.choice((1, 64, len(content))))
    how = rng.choice(("one bit", "zeros", "cut short", "emptied", "noise"))
    match how:
        case "one bit":
            content[start] ^= 1 << rng.randrange(8)
        case "zeros":
            content[start:end] = bytes(end - start)
        case "cut short":
            del content[start:]
        case "emptied":
            content.clear()
        case "noise":
            content[start:end] = rng.randbytes(end - start)
    file.write_bytes(content)
    os.utime(file, ns=(before.st_atime_ns, before.st_mtime_ns))
    return how


KINDS = (damaged_caches,)
