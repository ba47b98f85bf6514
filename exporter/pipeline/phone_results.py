"""Results that a phone posts: each is checked and written to a file of its own."""

import datetime
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from edgedraft.devices.probing.phone import Naming, PhoneProbe, phone_profile
from edgedraft.devices.probing.posted import PostedBench, one_line, read_bench, read_probe
from edgedraft.devices.profile import DeviceProfile
from edgedraft.devices.profile_file import write_profile
from edgedraft.runtime.base.files import write_json
from edgedraft.runtime.base.outputs import require_replaceable
from edgedraft.runtime.base.records import to_plain


@dataclass(frozen=True, kw_only=True, slots=True)
class PhoneResult:
    """A result and the file it was written to: the ``profile`` of a probe, or a bench of the device ``name``."""

    file: Path
    name: str
    profile: DeviceProfile | None = None
    bench: PostedBench | None = None


class PhoneResults:
    """Take a run's results one after the other, and hand each to ``arrived`` once it is on disk."""

    def __init__(self, folder: Path, naming: Naming, arrived: Callable[[PhoneResult], None]) -> None:
        require_replaceable(folder / "result")
        self.files: list[Path] = []
        self._folder, self._naming, self._arrived = folder, naming, arrived

    def probe_taker(self, offered: PhoneProbe) -> Callable[[Any], None]:
        """Return what takes the probe of the graphs that were ``offered``."""

        def take(data: Any) -> None:
            profile = phone_profile(read_probe(data), offered, self._naming)
            path = self._free("probe", ".toml")
            write_profile(path, profile)
            self._keep(PhoneResult(file=path, name=profile.name, profile=profile))

        return take

    def take_bench(self, data: Any) -> None:
        """Take a bench's report."""
        posted = read_bench(data)
        path = self._free("bench", ".json")
        write_json(path, to_plain(posted))
        self._keep(PhoneResult(file=path, name=self._naming.name or one_line(posted.device.name), bench=posted))

    def _keep(self, result: PhoneResult) -> None:
        self.files.append(result.file)
        self._arrived(result)

    def _free(self, kind: str, ending: str) -> Path:
        """Return a name with this second in it that is not taken."""
        stem = f"{kind}-{datetime.datetime.now():%Y-%m-%d-%H%M%S}"
        names = (f"{stem}{'' if count == 1 else f'-{count}'}{ending}" for count in range(1, 10**6))
        return next(path for path in map(self._folder.joinpath, names) if not path.exists())
