"""A page server in a process of its own, which takes results as `edgedraft phone` does, and plain requests to it."""

import contextlib
import http.client
import json
import resource
import ssl
import subprocess
import sys
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path

from edgedraft.devices.probing.phone import Naming, PhoneCase, PhoneProbe
from edgedraft.exporter.pipeline.phone_results import PhoneResults
from edgedraft.runtime.base.files import sha256
from edgedraft.runtime.serving import page_server
from edgedraft.runtime.serving.front.connections import Connections
from edgedraft.runtime.serving.listening import listen
from edgedraft.runtime.serving.page_server import Offer, PageServer
from edgedraft.runtime.serving.site import Site, SiteFile

TOKEN = "the-right-token-of-22x"
BIG = "weights.data"
OFFERED = PhoneProbe(
    cases=tuple(
        PhoneCase(
            file=f"probe/int4-{width}.onnx",
            bytes=1,
            sha256="",
            precision="int4",
            width=width,
            layers=3,
            weight_bytes=14_000_000,
            half=False,
        )
        for width in (1024, 2048)
    ),
    rows=(1, 2, 4),
    rounds=5,
)
_REPOSITORY = Path(__file__).resolve().parents[3]


@dataclass(frozen=True, kw_only=True)
class ServerProcess:
    """A running server: its process, port, the folder of its results, what it logs, and how to speak TLS to it."""

    process: "subprocess.Popen[bytes]"
    port: int
    results: Path
    log: Path
    tls: ssl.SSLContext | None

    def status(self, path: str, body: bytes | None = None, seconds: float = 10.0, **headers: str) -> int:
        """Return the status of a GET below the token, or of a POST with ``body``; OSError where none comes in time."""
        if self.tls:
            link = http.client.HTTPSConnection("127.0.0.1", self.port, timeout=seconds, context=self.tls)
        else:
            link = http.client.HTTPConnection("127.0.0.1", self.port, timeout=seconds)
        with contextlib.closing(link):
            method = "GET" if body is None else "POST"
            link.request(method, f"/{TOKEN}/{path}", body, {"Connection": "close", **headers})
            answer = link.getresponse()
            answer.read()
            return answer.status

    def lines(self) -> list[str]:
        """Return the lines that the server has logged."""
        return self.log.read_text(errors="replace").splitlines()


@contextlib.contextmanager
def server_process(folder: Path, *planted: str, files: int = 1024, tls: bool = False) -> Iterator[ServerProcess]:
    """Run a server that may open so many ``files``, with its certificate, results and log in ``folder``.

    ``planted`` names faults for the suite's own tests: "unbounded" drops no connection, "unchecked" takes any JSON.
    """
    folder.mkdir(exist_ok=True)
    log = folder / "log"
    options = [*planted, *(["tls"] if tls else [])]
    command = [sys.executable, "-m", "tests.trust.attacks.server", str(folder), str(files), *options]
    with (
        log.open("wb") as errors,
        subprocess.Popen(command, stdout=subprocess.PIPE, stderr=errors, cwd=_REPOSITORY) as process,
    ):
        try:
            assert process.stdout is not None
            told = process.stdout.readline()
            assert told.strip().isdigit(), log.read_text()
            context = None
            if tls:
                context = ssl.create_default_context(cafile=str(folder / "https.pem"))
            yield ServerProcess(process=process, port=int(told), results=folder / "results", log=log, tls=context)
        finally:
            process.kill()


def _main(folder: Path, files: int, options: Sequence[str]) -> None:
    certificate = _certificate(folder) if "tls" in options else None
    if "unbounded" in options:
        Connections.make_room = lambda self, client: True  # type: ignore[method-assign]
        Connections.free_one = Connections.sweep = lambda self: False  # type: ignore[method-assign, assignment]
    if "unchecked" in options:
        page_server.parsed_json = lambda body, where: json.loads(body)  # type: ignore[attr-defined]
    (folder / BIG).write_bytes(bytes(2**24))
    big = SiteFile(path=folder / BIG, root=folder, bytes=2**24, sha256=sha256(folder / BIG))
    results = PhoneResults(folder / "results", Naming(), lambda result: None)
    takers = {"results/probe": results.probe_taker(OFFERED), "results/bench": results.take_bench}
    resource.setrlimit(resource.RLIMIT_NOFILE, (files, files))
    with listen(0) as listener:
        site = Site(files={BIG: big}, texts={"session.json": json.dumps({}).encode()}, takers=takers)
        server = PageServer(Offer(site=site, token=TOKEN, certificate=certificate), listener)
        print(server.address[1], flush=True)
        server.run()


def _certificate(folder: Path) -> Path:
    import datetime

    from edgedraft.runtime.serving.certificate import kept_certificate

    return kept_certificate(folder, ("127.0.0.1",), datetime.datetime.now(datetime.UTC)).path


if __name__ == "__main__":
    _main(Path(sys.argv[1]), int(sys.argv[2]), sys.argv[3:])
