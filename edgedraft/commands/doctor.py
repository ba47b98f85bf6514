"""edgedraft doctor: what is installed, what really runs, and the line that mends what does not."""

import argparse
from typing import TYPE_CHECKING

from edgedraft.console import Console

if TYPE_CHECKING:
    from edgedraft.devices.doctor.facts import Examination, Resources

_GIB = 2**30


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Add no options."""


def run(options: argparse.Namespace, console: Console) -> None:
    """Examine and show."""
    from edgedraft.devices.doctor.examining import examine

    with console.busy("trying every provider"):
        found = examine()
    _show(found, console)
    console.result(found)


def _show(found: "Examination", console: Console) -> None:
    packages = found.packages
    versions = ", ".join(
        f"{name} {packages.versions.get(name) or '-'}" for name in ("edgedraft", "numpy", "tokenizers")
    )
    console.say(f"versions    Python {packages.python}, {versions}")
    flavours = ", ".join(packages.onnxruntimes) or "none"
    console.say(f"onnxruntime {packages.versions.get('onnxruntime') or '-'} (from {flavours})")
    for trial in found.providers:
        console.say(f"provider    {trial.name}: {'runs' if trial.runs else f'does not run: {trial.reason}'}")
    console.say(f"own kernels {found.kernels.chosen if found.kernels.library else 'not built'}")
    _show_resources(found.resources, console)
    for extra, missing in packages.extras.items():
        if extra:
            state = f'lacks {", ".join(missing)}: pip install "edgedraft[{extra}]"' if missing else "installed"
            console.say(f"extra       {extra}: {state}")
    console.say()
    console.say(f"{len(found.problems)} problem{'' if len(found.problems) == 1 else 's'}")
    for problem in found.problems:
        console.say(f"- {problem.what}\n  mend it: {problem.mend}")


def _show_resources(resources: "Resources", console: Console) -> None:
    console.say(f"machine     {resources.machine}")
    console.say(f"cores       {resources.usable_cores} of {resources.cores} may be used (affinity, container's quota)")
    free = "" if resources.memory_free_bytes is None else f", {resources.memory_free_bytes / _GIB:.1f} GiB free"
    limit = (
        "" if resources.memory_limit_bytes is None else f", container's limit {resources.memory_limit_bytes / _GIB:.1f}"
    )
    console.say(f"memory      {resources.memory_bytes / _GIB:.1f} GiB{free}{limit}")
    console.say(f"huge pages  {resources.huge_pages or 'unknown'}")
    console.say(f"cache       {resources.cache}, {resources.disk_free_bytes / _GIB:.1f} GiB of disk free")
