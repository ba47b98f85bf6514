"""What comes back from a phone: each result checked, written to a file of its own, and told."""

import datetime
from collections.abc import Callable
from pathlib import Path
from typing import Any

from edgedraft.devices.probing.noise import verdict
from edgedraft.devices.probing.phone import Naming, PhoneProbe, phone_profile
from edgedraft.devices.probing.posted import one_line, read_bench, read_probe
from edgedraft.devices.profile import DeviceProfile
from edgedraft.devices.profile_file import write_profile
from edgedraft.runtime.base.files import write_json
from edgedraft.runtime.base.provider_names import BROWSERS
from edgedraft.runtime.base.records import to_plain

Say = Callable[[str], None]


class Results:
    """Takes a run's results, one after the other, and remembers the files that it wrote of them."""

    def __init__(self, folder: Path, bundle: Path, naming: Naming, say: Say) -> None:
        self.files: list[Path] = []
        self.arrived: Callable[[], None] = lambda: None
        self._folder, self._bundle, self._naming, self._say = folder, bundle, naming, say

    def probe_taker(self, offered: PhoneProbe) -> Callable[[Any], None]:
        """Takes the probe of the graphs that were ``offered``."""

        def take(data: Any) -> None:
            profile = phone_profile(read_probe(data), offered, self._naming)
            path = self._free("probe", ".toml")
            write_profile(path, profile)
            self._tell(profile, path)
            self._keep(path)

        return take

    def take_bench(self, data: Any) -> None:
        """Take a bench's report."""
        posted = read_bench(data)
        path = self._free("bench", ".json")
        write_json(path, to_plain(posted))
        where = " and ".join(dict.fromkeys((posted.provider.target, posted.provider.drafter)))
        self._say(f"Bench of {self._naming.name or one_line(posted.device.name)} on {where}: {path}")
        self._keep(path)

    def _tell(self, profile: DeviceProfile, path: Path) -> None:
        probe = profile.probe
        assert probe is not None
        self._say(f"Probe of {profile.name}: {path}")
        for skipped in probe.skipped:
            self._say(f"Skipped {skipped}.")
        self._say(verdict(probe))
        measured = {step.provider for step in probe.steps}
        provider = next(name for name in BROWSERS if name in measured)
        self._say(f"Plan for it: edgedraft plan --device {path} --provider {provider}")
        self._say(f"Then cut the bundle to the size K that was planned: edgedraft trim {self._bundle} --vocab-size K")

    def _keep(self, path: Path) -> None:
        self.files.append(path)
        self.arrived()

    def _free(self, kind: str, ending: str) -> Path:
        """A name of this second that is not taken."""
        stem = f"{kind}-{datetime.datetime.now():%Y-%m-%d-%H%M%S}"
        names = (f"{stem}{'' if count == 1 else f'-{count}'}{ending}" for count in range(1, 10**6))
        return next(path for path in map(self._folder.joinpath, names) if not path.exists())
