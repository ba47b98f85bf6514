"""edgedraft phone: a bundle on a phone's browser, probed and measured there; results come back as files."""

import argparse
import contextlib
import datetime
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

from edgedraft.commands._options import KINDS_OF_DEVICES
from edgedraft.console import Console

if TYPE_CHECKING:
    from edgedraft.exporter.pipeline.phone_results import PhoneResult

_WHY_HTTPS = (
    "The phone's browser will warn once that it does not know the certificate: this computer made it itself. Browsers "
    "give WebGPU, threads and storage to secure pages only, and over a network that takes HTTPS. If you like, compare "
    "the SHA-256 fingerprint before you go on:"
)
_WHO = "Whoever has the address can read the bundle and send results. Ctrl-C ends it."
_ALONE = "Only this computer can open it: --lan lets phones on the same network in, --adb one on a cable."

PORT = 8417
"""Always the same, since a browser keeps weights by address and port."""


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Add the options of phone."""
    from edgedraft.commands._options import add_cache_argument

    parser.add_argument("bundle", type=Path, metavar="BUNDLE", help="a folder written by edgedraft export")
    ways = parser.add_mutually_exclusive_group()
    text = "let phones on the same network in, by HTTPS with a certificate of this computer's own"
    ways.add_argument("--lan", action="store_true", help=text)
    text = "let the phone on a USB cable in, through Android's adb"
    ways.add_argument("--adb", action="store_true", help=text)
    parser.add_argument("--serial", metavar="S", help="with --adb: the phone of this serial number")
    parser.add_argument("--port", type=int, default=PORT, metavar="N", help=f"default: {PORT}")
    text = "where results go (default: this folder)"
    parser.add_argument("--output", type=Path, default=Path(), metavar="FOLDER", help=text)
    parser.add_argument("--name", metavar="NAME", help="call the device this (default: what its browser says)")
    parser.add_argument("--kind", choices=KINDS_OF_DEVICES, default="phone", help="default: phone")
    text = "a probe of 16 MB instead of 144, for slow networks and GPUs; rougher, since a cache may hold its graphs"
    parser.add_argument("--quick", action="store_true", help=text)
    parser.add_argument("--once", action="store_true", help="end after the first result")
    add_cache_argument(parser)
    parser.set_defaults(extra="serve")


@dataclass(frozen=True, kw_only=True, slots=True)
class _Reach:
    """The address without its path, what to say of it, and the certificate where there is one."""

    root: str
    where: str
    remarks: tuple[str, ...]
    certificate: Path | None = None
    scan: bool = True


def run(options: argparse.Namespace, console: Console) -> None:
    """Serve until Ctrl-C, or with --once until the first result."""
    from tempfile import TemporaryDirectory

    from edgedraft.devices.probing.phone import Naming
    from edgedraft.exporter.models.cache import cache_folder
    from edgedraft.exporter.pipeline.phone_results import PhoneResults
    from edgedraft.exporter.pipeline.phone_site import PhoneRequest, offered_site
    from edgedraft.runtime.base.records import require
    from edgedraft.runtime.serving.guard import new_token
    from edgedraft.runtime.serving.listening import listen
    from edgedraft.runtime.serving.page_server import Offer, PageServer
    from edgedraft.runtime.serving.site import page_files, page_folder

    require(options.serial is None or options.adb, "--serial: names a phone for --adb", got="no --adb")
    page_files(page_folder())  # refused before anything slow, as a port that is taken
    servers: list[PageServer] = []

    def arrived(result: "PhoneResult") -> None:
        _show_result(result, options.bundle, console)
        if options.once:
            servers[0].stop()

    results = PhoneResults(options.output, Naming(name=options.name, kind=options.kind), arrived)
    with TemporaryDirectory() as folder, contextlib.ExitStack() as stack:
        listener = stack.enter_context(listen(options.port, beyond_loopback=options.lan))
        reach = _reach(options, listener.getsockname()[1], stack)
        request = PhoneRequest(bundle=options.bundle, cache=cache_folder(options.cache), quick=options.quick)
        site, token = offered_site(request, Path(folder), results, console.note), new_token()
        servers.append(PageServer(Offer(site=site, token=token, certificate=reach.certificate), listener))
        _announce(reach, f"{reach.root}/{token}/", console)
        with contextlib.suppress(KeyboardInterrupt):
            servers[0].run()
    console.result({"results": [str(path) for path in results.files]})


def _show_result(result: "PhoneResult", bundle: Path, console: Console) -> None:
    """Say what came back, and what can be done with it."""
    from edgedraft.devices.probing.noise import verdict
    from edgedraft.runtime.base.provider_names import BROWSERS

    if result.bench is not None:
        where = " and ".join(dict.fromkeys((result.bench.provider.target, result.bench.provider.drafter)))
        console.say(f"Bench of {result.name} on {where}: {result.file}")
    if result.profile is not None and result.profile.probe is not None:
        probe = result.profile.probe
        console.say(f"Probe of {result.name}: {result.file}")
        for skipped in probe.skipped:
            console.say(f"Skipped {skipped}.")
        console.say(verdict(probe))
        measured = {step.provider for step in probe.steps}
        provider = next(name for name in BROWSERS if name in measured)
        console.say(f"Plan for it: edgedraft plan --device {result.file} --provider {provider}")
        console.say(f"Then cut the bundle to the size K that was planned: edgedraft trim {bundle} --vocab-size K")


def _reach(options: argparse.Namespace, port: int, stack: contextlib.ExitStack) -> _Reach:
    if options.lan:
        return _lan(options, port)
    if options.adb:
        from edgedraft.runtime.serving.adb import adb_client, reversed_port

        serial = stack.enter_context(reversed_port(adb_client(), port, options.serial))
        return _Reach(root=f"http://127.0.0.1:{port}", where=f"on the phone {serial}", remarks=(_WHO,))
    remarks = (_ALONE, _WHO)
    return _Reach(root=f"http://127.0.0.1:{port}", where="in a browser here", remarks=remarks, scan=False)


def _lan(options: argparse.Namespace, port: int) -> _Reach:
    from edgedraft.exporter.models.cache import cache_folder
    from edgedraft.runtime.base.records import require
    from edgedraft.runtime.serving.certificate import kept_certificate
    from edgedraft.runtime.serving.listening import lan_addresses

    addresses = lan_addresses()
    remedy = "join a network, or use --adb"
    require(len(addresses) > 0, "--lan: this computer has no address that a phone could reach", remedy=remedy)
    now = datetime.datetime.now(datetime.UTC)
    certificate = kept_certificate(cache_folder(options.cache) / "phone", addresses, now)
    others = f"If it does not answer, try {' or '.join(addresses[1:])} in its place." if addresses[1:] else ""
    remarks = (others, _WHY_HTTPS, certificate.fingerprint, _WHO)
    root = f"https://{addresses[0]}:{port}"
    return _Reach(root=root, where="on the phone", remarks=remarks, certificate=certificate.path)


def _announce(reach: _Reach, address: str, console: Console) -> None:
    """Say where to open the page: on stderr where standard output is for a machine."""
    tell = console.note if console.as_json else console.say
    tell(f"Open {reach.where}: {address}")
    if reach.scan and not console.as_json:
        from edgedraft.runtime.serving.listening import terminal_qr

        console.say(terminal_qr(address))
    for remark in filter(None, reach.remarks):
        console.say(remark)
