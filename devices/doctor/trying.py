"""Open and run a small graph on every provider, each in a process of its own: a bad driver may end the process."""

import base64
import json
import subprocess
import sys
import tempfile
from pathlib import Path

import numpy as np

from edgedraft.devices.doctor.facts import ProviderTrial
from edgedraft.runtime.base.errors import EdgedraftError
from edgedraft.runtime.base.records import require
from edgedraft.runtime.onnx.providers import available_providers, open_session, share_thread_pool

_SECONDS = 60.0
_CHILD = "import sys; from edgedraft.devices.doctor.trying import main; main(sys.argv[1])"
# y = x · 2I for x of (1, 4) in fp32, opset 17; written with the package onnx, which a device need not have.
GRAPH = base64.b64decode(
    "CAg6jQEKEQoBeAoBdxIBeSIGTWF0TXVsEgFnKksIBAgEEAFCAXdKQAAAAEAAAAAAAAAAAAAAAAAAAAAAAAAAQAAAAAAAAAAAAAAAAAAAAAAAAABA"
    "AAAAAAAAAAAAAAAAAAAAAAAAAEBaEwoBeBIOCgwIARIICgIIAQoCCARiEwoBeRIOCgwIARIICgIIAQoCCARCBAoAEBE="
)


def tried_providers() -> tuple[ProviderTrial, ...]:
    """Try every provider that onnxruntime lists."""
    return tuple(_tried(name) for name in sorted(available_providers()))


def try_provider(name: str) -> None:
    """Run the small graph on a provider in this process; raise `EdgedraftError` if it cannot."""
    share_thread_pool(1)
    x = np.array([[1, 2, 3, 4]], dtype=np.float32)
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / "graph.onnx"
        path.write_bytes(GRAPH)
        session = open_session(path, name).session
        binding = session.io_binding()
        binding.bind_cpu_input("x", x)
        binding.bind_output("y", "cpu")
        session.run_with_iobinding(binding)
        y = binding.copy_outputs_to_cpu()[0]
    require(bool(np.array_equal(y, 2 * x)), "a product of two small matrices is wrong", got=y.tolist())


def main(name: str) -> None:
    """Try one provider, as the child process; write the reason on standard output, null where it runs."""
    try:
        try_provider(name)
        reason = None
    except EdgedraftError as error:
        # The path of the small graph, and the advice to run this, tell the user nothing.
        _, is_path, rule = error.rule.partition("graph.onnx: ")
        reason = str(EdgedraftError(rule, got=error.got) if is_path else error)
    sys.stdout.write(json.dumps({"reason": reason}) + "\n")


def _tried(name: str) -> ProviderTrial:
    command = [
        sys.executable,
        "-P",
        "-c",
        _CHILD,
        name,
    ]  # without -P a checkout in the current folder would be imported
    try:
        done = subprocess.run(command, capture_output=True, text=True, timeout=_SECONDS, check=False)
    except subprocess.TimeoutExpired:
        return ProviderTrial(name=name, runs=False, reason=f"no answer within {_SECONDS:.0f} s")
    lines = done.stdout.splitlines()
    if done.returncode or not lines:
        return ProviderTrial(name=name, runs=False, reason=f"its process ended with code {done.returncode}")
    reason = json.loads(lines[-1])["reason"]
    return ProviderTrial(name=name, runs=reason is None, reason=reason)
