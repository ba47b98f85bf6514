"""A process that has imported everything and forks a child for each job, so that no trial starts Python anew.

It runs with events.c preloaded. It talks to `watcher` over a socket: one JSON line per job, with the child's event
socket.
"""

import ctypes
import importlib
import json
import os
import signal
import socket
import sys
from typing import Any

_HEAVY = (
    *(f"edgedraft.exporter.pipeline.{name}" for name in ("count", "export", "report", "plan", "trim", "vocab")),
    *("edgedraft.__main__", "huggingface_hub.repocard_data", "huggingface_hub.utils", "numpy.ma", "yaml"),
    *("matplotlib.backends.backend_agg", "matplotlib.backends.backend_svg", "optuna", "sqlalchemy.dialects.sqlite"),
)


def child(job: dict[str, Any], events: int) -> int:
    """Run the job with its output in a file, and report every change of its folder to ``events``."""
    output = os.open(job["output"], os.O_WRONLY | os.O_CREAT | os.O_TRUNC, 0o600)
    os.dup2(output, 1)
    os.dup2(output, 2)
    module, _, name = job["run"].partition(":")
    run = getattr(importlib.import_module(module), name)
    ctypes.CDLL(None).trust_watch(events, os.fsencode(job["folder"]))
    code = run(*job["arguments"])
    sys.stdout.flush()
    return int(code or 0)


def serve(line: socket.socket) -> None:
    """Fork a child for every job, and report how it ended."""
    for module in _HEAVY:
        importlib.import_module(module)
    importlib.import_module("edgedraft.__main__").build_parser()
    line.sendall(b"ready\n")
    while True:
        data, handles, _, _ = socket.recv_fds(line, 1 << 16, 1)
        if not data:
            return
        process = os.fork()
        if process == 0:
            signal.signal(signal.SIGINT, signal.SIG_DFL)
            try:
                code = child(json.loads(data), handles[0])
            except SystemExit as error:
                code = error.code if isinstance(error.code, int) else 1
            except BaseException:
                sys.excepthook(*sys.exc_info())
                sys.stderr.flush()
                code = 1
            os._exit(code)
        os.close(handles[0])
        line.sendall(f"{process}\n".encode())
        status = os.waitpid(process, 0)[1]
        line.sendall(f"{os.waitstatus_to_exitcode(status)}\n".encode())


if __name__ == "__main__":
    serve(socket.socket(fileno=int(sys.argv[1])))
