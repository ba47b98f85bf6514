"""edgedraft devices: list and show profiles, probe this machine, check the priors against published speeds."""

import argparse
from pathlib import Path
from typing import TYPE_CHECKING

from edgedraft.commands._options import KINDS_OF_DEVICES, positive
from edgedraft.commands._parser import add_common_arguments
from edgedraft.console import Console

if TYPE_CHECKING:
    from edgedraft.devices.profile import Bandwidth, DeviceProfile


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Add the parts of devices."""
    parts = parser.add_subparsers(dest="part", required=True, metavar="PART")
    for name, (_, summary) in PARTS.items():
        part = parts.add_parser(name, help=summary, description=summary[0].upper() + summary[1:] + ".")
        add_common_arguments(part, default=argparse.SUPPRESS)
        part.set_defaults(parser=part)
        if name == "list":
            part.add_argument("--kind", choices=KINDS_OF_DEVICES, help="only these")
        if name == "show":
            part.add_argument("device", nargs="?", metavar="NAME", help="a name, or a profile's file")
        if name == "probe":
            part.set_defaults(extra="probe")
            _add_probe_arguments(part)


def _add_probe_arguments(part: argparse.ArgumentParser) -> None:
    part.add_argument("--output", type=Path, metavar="FILE", help="default: ./<processor's name>.toml")
    part.add_argument("--seconds", type=float, default=100.0, metavar="S", help="time to take (default: 100)")
    part.add_argument("--kind", choices=KINDS_OF_DEVICES, default="laptop", help="default: laptop")
    part.add_argument("--threads", type=positive, metavar="N", help="default: every core this process may use")
    part.add_argument("--providers", nargs="+", metavar="NAME", help="default: all that are there")


def run(options: argparse.Namespace, console: Console) -> None:
    """Run the part that was asked for."""
    PARTS[options.part][0](options, console)


def _list(options: argparse.Namespace, console: Console) -> None:
    """Show all packaged profiles."""
    from edgedraft.devices.registry import known_profiles

    profiles = [profile for profile in known_profiles() if options.kind in (None, profile.kind)]
    rows = [
        (
            profile.id,
            profile.kind,
            profile.name,
            profile.soc,
            f"{profile.bandwidth.peak.gigabytes_per_second:.1f}",
            _reached(profile.bandwidth.cpu),
            _reached(profile.bandwidth.gpu),
            profile.bandwidth.peak.certainty,
        )
        for profile in profiles
    ]
    console.table(("id", "kind", "name", "chip", "peak GB/s", "CPU", "GPU", "peak is"), rows)
    console.result(profiles)


def _show(options: argparse.Namespace, console: Console) -> None:
    """Show one profile with its sources, or this machine."""
    from edgedraft.devices.machine import this_machine
    from edgedraft.devices.registry import find_profile

    if options.device is None:
        machine = this_machine()
        console.say(machine.name)
        console.result(machine)
        return
    profile = find_profile(options.device)
    console.say(f"{profile.name} ({profile.id}), {profile.kind} with {profile.soc}")
    for name, value, certainty, source in _figures(profile):
        console.say(f"{name}: {value} ({certainty}: {source})")
    for sentence in _predictions(profile):
        console.say(sentence)
    if profile.notes:
        console.say(profile.notes)
    console.result(profile)


def _probe(options: argparse.Namespace, console: Console) -> None:
    """Measure this machine and write its profile."""
    import time

    from edgedraft.commands.kernels import note_if_not_built
    from edgedraft.devices.fitting import passes_label
    from edgedraft.devices.probing.cases import ProbeSettings
    from edgedraft.devices.probing.noise import verdict
    from edgedraft.devices.probing.probe import probe_machine
    from edgedraft.devices.profile_file import free_profile_file, require_profile_file, write_profile

    if options.output:
        require_profile_file(options.output)
    settings = ProbeSettings(
        seconds=options.seconds,
        kind=options.kind,
        threads=options.threads,
        providers=tuple(options.providers) if options.providers else None,
    )
    note_if_not_built(console)
    profile = probe_machine(settings, time.perf_counter, console.progress)
    output = options.output or free_profile_file(Path(), profile.id)
    write_profile(output, profile)
    probe = profile.probe
    assert probe is not None
    for read in probe.bandwidths:
        console.say(f"{read.threads} thread{'s' * (read.threads > 1)} read {read.gigabytes_per_second:.1f} GB/s")
    widest = max(step.width for step in probe.steps)
    steps = [step for step in probe.steps if step.width == widest]
    counts = sorted({step.rows for step in steps})
    kinds = list(dict.fromkeys((step.precision, step.provider, step.kernels) for step in steps))
    by_kind = {(step.precision, step.provider, step.kernels, step.rows): step for step in steps}
    cells = {kind: [f"{1e3 * by_kind[*kind, count].seconds:.2f}" for count in counts] for kind in kinds}
    rows = [(passes_label(probe, *kind), *cells[kind]) for kind in kinds]
    megabytes = f"ms of {widest}-wide layers, {steps[0].weight_bytes / 1e6:.0f} MB"
    console.table((megabytes, *(f"{count} rows" for count in counts)), rows)
    for skipped in probe.skipped:
        console.say(f"Skipped {skipped}.")
    console.say(verdict(probe))
    console.say(f"Wrote {output}. Try: edgedraft plan --device {output}")
    console.result(profile)


def _validate(options: argparse.Namespace, console: Console) -> None:
    """Show the priors' errors on published speeds, every device predicted without its own rows."""
    from edgedraft.devices.priors.engines import engine_errors, engine_table
    from edgedraft.devices.priors.published import shipped_speeds
    from edgedraft.devices.priors.validation import class_errors, error_table, judged_rows

    judged = judged_rows(shipped_speeds())
    classes, engines = class_errors(judged), engine_errors(judged)
    console.table(*error_table(classes))
    console.say()
    console.table(*engine_table(engines))
    for errors in classes:
        if errors.reason:
            console.say(f"{errors.name} misses its target: {errors.reason}.")
    console.result({"classes": classes, "runtimes": engines})


def _reached(figure: "Bandwidth | None") -> str:
    return "–" if figure is None else f"{figure.gigabytes_per_second:.1f}"


def _figures(profile: "DeviceProfile") -> list[tuple[str, str, str, str]]:
    """Return the profile's figures: name, value, certainty, source."""
    known = {
        "peak bandwidth": profile.bandwidth.peak,
        "bandwidth reached by the CPU": profile.bandwidth.cpu,
        "bandwidth reached by the GPU": profile.bandwidth.gpu,
    }
    rows = [
        (name, f"{figure.gigabytes_per_second:.1f} GB/s", figure.certainty, figure.source)
        for name, figure in known.items()
        if figure is not None
    ]
    facts = {"cache": profile.cache, "CPU": profile.cpu, "GPU": profile.gpu}
    return [*rows, *((name, fact.value, fact.certainty, fact.source) for name, fact in facts.items() if fact)]


def _predictions(profile: "DeviceProfile") -> list[str]:
    """Say how fast a model that reads 1 GB in int4 would be, and what that rests on."""
    from edgedraft.devices.priors.prior import basis, latency_of

    lines = []
    model = latency_of(profile)
    for precision, provider in model.models:
        if precision == "int4":
            step = model.seconds(1e9, 1, precision, provider)
            speed = f"{1 / step.value:.0f} [{1 / step.high:.0f}–{1 / step.low:.0f}]"
            lines.append(f"A model that reads 1 GB in int4 on the {provider.upper()}: {speed} tokens/s, one by one.")
            lines.append(basis(profile, provider))
    return lines


PARTS = {
    "list": (_list, "list the devices that plans can be made for"),
    "show": (_show, "show a device's profile with the sources of its figures; without a name, this machine"),
    "probe": (_probe, "measure this machine and write its profile"),
    "validate": (_validate, "check the latency priors against published speeds, leaving each device out"),
}
