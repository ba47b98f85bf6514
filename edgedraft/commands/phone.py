"""edgedraft phone: a bundle on a phone's browser, probed and measured there; results come back as files."""

import argparse
import contextlib
import datetime
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

from edgedraft.console import Console

if TYPE_CHECKING:
    import socket

    from edgedraft.commands._phone_results import Results
    from edgedraft.runtime.serving.site import Site

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
    """Options of phone."""
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
    parser.add_argument("--kind", choices=("laptop", "board", "phone"), default="phone", help="default: phone")
    text = "a probe of 16 MB instead of 144, for slow networks and GPUs; rougher, since a cache may hold its graphs"
    parser.add_argument("--quick", action="store_true", help=text)
    parser.add_argument("--once", action="store_true", help="end after the first result")
    add_cache_argument(parser)


@dataclass(frozen=True, kw_only=True, slots=True)
class _Reach:
    """How to get in: the address without its path, what to say of it, and the certificate where there is one."""

    root: str
    where: str
    remarks: tuple[str, ...]
    certificate: Path | None = None
    scan: bool = True


@dataclass(frozen=True, kw_only=True, slots=True)
class _Way:
    """How a run listens, how it is reached, and whether its first result ends it."""

    reach: _Reach
    listener: "socket.socket"
    once: bool


def run(options: argparse.Namespace, console: Console) -> None:
    """Serve until Ctrl-C, or with --once until the first result."""
    from tempfile import TemporaryDirectory

    from edgedraft.commands._phone_results import Results
    from edgedraft.devices.probing.phone import Naming
    from edgedraft.runtime.base.records import require
    from edgedraft.runtime.serving.listening import listen
    from edgedraft.runtime.serving.site import page_files, page_folder

    require(options.serial is None or options.adb, "--serial: names a phone for --adb", got="no --adb")
    page_files(page_folder())  # refused before anything slow, as a port that is taken
    results = Results(options.output, options.bundle, Naming(name=options.name, kind=options.kind), console.say)
    with TemporaryDirectory() as folder, contextlib.ExitStack() as stack:
        listener = stack.enter_context(listen(options.port, beyond_loopback=options.lan))
        reach = _reach(options, listener.getsockname()[1], stack)
        site = _site(options, Path(folder), results, console)
        _serve(site, _Way(reach=reach, listener=listener, once=options.once), results, console)
    console.result({"results": [str(path) for path in results.files]})


def _site(options: argparse.Namespace, folder: Path, results: "Results", console: Console) -> "Site":
    """Everything that is served; what is made for this run alone lies in ``folder``."""
    from edgedraft.commands._options import cache_of
    from edgedraft.commands._phone_site import PROBE, Parts, full_drafter, phone_site
    from edgedraft.devices.probing.phone import QUICK, WHOLE, write_phone_probe
    from edgedraft.runtime.bundle.reading import read_bundle
    from edgedraft.runtime.serving.site import page_folder

    bundle, cache = read_bundle(options.bundle), cache_of(options)
    for name in ("probe", "full"):
        (folder / name).mkdir()
    probe = write_phone_probe(folder / "probe", PROBE, QUICK if options.quick else WHOLE)
    full = full_drafter(bundle.manifest, cache / "onnx", folder / "full", cache / "phone" / "sums.json")
    if full is None:
        console.note(f"The full-vocabulary drafter is not at {cache / 'onnx'}: the page benches without it.")
    parts = Parts(bundle=bundle, page=page_folder(), probe_folder=folder / "probe", probe=probe, full=full)
    takers = {"results/probe": results.probe_taker(probe), "results/bench": results.take_bench}
    return phone_site(parts, takers)


def _serve(site: "Site", way: _Way, results: "Results", console: Console) -> None:
    from edgedraft.runtime.serving.guard import new_token
    from edgedraft.runtime.serving.page_server import Offer, PageServer

    token = new_token()
    server = PageServer(Offer(site=site, token=token, certificate=way.reach.certificate), way.listener)
    if way.once:
        results.arrived = server.stop
    _announce(way.reach, f"{way.reach.root}/{token}/", console)
    with contextlib.suppress(KeyboardInterrupt):
        server.run()


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
    from edgedraft.commands._options import cache_of
    from edgedraft.runtime.base.records import require
    from edgedraft.runtime.serving.certificate import kept_certificate
    from edgedraft.runtime.serving.listening import lan_addresses

    addresses = lan_addresses()
    remedy = "join a network, or use --adb"
    require(len(addresses) > 0, "--lan: this computer has no address that a phone could reach", remedy=remedy)
    now = datetime.datetime.now(datetime.UTC)
    certificate = kept_certificate(cache_of(options) / "phone", addresses, now)
    others = f"If it does not answer, try {' or '.join(addresses[1:])} in its place." if addresses[1:] else ""
    remarks = (others, _WHY_HTTPS, certificate.fingerprint, _WHO)
    root = f"https://{addresses[0]}:{port}"
    return _Reach(root=root, where="on the phone", remarks=remarks, certificate=certificate.path)


def _announce(reach: _Reach, address: str, console: Console) -> None:
    """The address is told beside the result where the result alone is for a machine."""
    tell = console.note if console.as_json else console.say
    tell(f"Open {reach.where}: {address}")
    if reach.scan and not console.as_json:
        from edgedraft.runtime.serving.listening import terminal_qr

        console.say(terminal_qr(address))
    for remark in filter(None, reach.remarks):
        console.say(remark)
