"""What a browser cannot run is refused before anything large is downloaded; what arrives broken is never used."""

import json
import socket
import threading
from contextlib import contextmanager, suppress

import pytest

pytestmark = pytest.mark.browser

OPEN = """
const { Engine } = window.edgedraft;
const settings = SETTINGS;
if (settings.weak) settings.device = await (await navigator.gpu.requestAdapter()).requestDevice();
const heard = [];
try {
  const engine = await Engine.open(new URL("./", location.href), { contextLength: 256, threads: 1, ...settings },
    (what, done, total) => heard.push([what, done, total]));
  const prompt = engine.encodeChat([{ role: "user", content: "sort the list" }]);
  const ids = [];
  for await (const round of engine.rounds(prompt, { maxNewTokens: 8, policy: "fixed" })) ids.push(...round.tokenIds);
  await engine.close();
  return { ids, heard };
} catch (error) {
  return { message: String(error.message), ours: error instanceof window.edgedraft.EdgedraftError, heard };
}
"""
GPU = {"targetProvider": "webgpu", "drafterProvider": "webgpu"}
WASM = {"targetProvider": "wasm", "drafterProvider": "wasm"}
MODELS = (".onnx", ".onnx.data")


def opening(settings):
    return {"evaluate": OPEN.replace("SETTINGS", json.dumps(settings)), "as": "found"}


def models_asked_for(driven):
    return [url for url in driven.requests if url.endswith(MODELS)]


def test_float16_files_need_shader_f16(drive, serve, altered_bundle):
    bundle = altered_bundle(lambda manifest, _: manifest["target"].update(half=True))
    with serve(bundle) as served:
        driven = drive(served.root, [opening(GPU | {"weak": True})])
    assert "float16 weights need a GPU with shader-f16" in driven.results["found"]["message"]
    assert models_asked_for(driven) == []


def test_a_tensor_above_the_devices_limits_is_refused(drive, serve, altered_bundle):
    bundle = altered_bundle(lambda manifest, _: manifest["target"].update(largest_tensor_bytes=200 * 2**20))
    with serve(bundle) as served:
        driven = drive(served.root, [opening(GPU | {"weak": True})])
    message = driven.results["found"]["message"]
    assert "this GPU binds at most 128 MiB in one tensor, got 200 MiB" in message, message
    assert models_asked_for(driven) == []


LOOK_UP = (
    "target: WebAssembly has no kernel that looks up packed tokens, got GatherBlockQuantized - "
    "edgedraft export with --provider wasm, or use WebGPU instead"
)
EVEN = (
    "target: WebGPU looks up packed tokens in rows of an even number of blocks only, got an odd number - "
    "edgedraft export with --provider webgpu"
)


@pytest.mark.parametrize(
    ("provider", "refusals"), [("cuda", [(WASM, LOOK_UP), (GPU, EVEN)]), ("webgpu", [(WASM, LOOK_UP)])]
)
def test_packed_tokens_that_a_provider_cannot_look_up_are_refused(provider, refusals, drive, serve, packed_bundle):
    with serve(packed_bundle(provider)) as served:
        steps = [opening(settings) | {"as": str(number)} for number, (settings, _) in enumerate(refusals)]
        driven = drive(served.root, steps)
    for number, (_, message) in enumerate(refusals):
        found = driven.results[str(number)]
        assert (found["message"], found["ours"], found["heard"]) == (message, True, [])
    assert models_asked_for(driven) == []


def test_a_bundle_that_names_no_operators_is_tried(drive, serve, packed_bundle, altered_bundle):
    """Without the refusal above, ONNX Runtime's own words come, and only after the download."""

    def forget(manifest, _):
        for role in ("target", "drafter"):
            del manifest[role]["operators"]

    with serve(altered_bundle(forget, packed_bundle("cuda"))) as served:
        driven = drive(served.root, [opening(WASM) | {"as": "wasm"}, opening(GPU) | {"as": "webgpu"}])
    assert "GatherBlockQuantized" in driven.results["wasm"]["message"]
    assert "scales and zero_points must have the same shape" in driven.results["webgpu"]["message"]
    assert len(models_asked_for(driven)) >= 2


def test_without_webgpu_the_reason_is_told(drive, serve, tiny_bundle):
    with serve(tiny_bundle) as served:
        driven = drive(
            served.root, [opening(GPU)], flags=["--disable-features=WebGPU", "--disable-blink-features=WebGPU"]
        )
    assert driven.results["found"]["message"].startswith("WebGPU is not available")
    assert models_asked_for(driven) == []


def test_the_older_webgpu_provider_is_refused(drive, serve, tiny_bundle):
    with serve(tiny_bundle, page="jsep") as served:
        driven = drive(served.root, [opening(GPU)])
    message = driven.results["found"]["message"]
    assert message.startswith("onnxruntime-web must compute on the GPU device of this page, got 0,0,0,0"), message
    assert models_asked_for(driven) == []


def test_a_flipped_byte_is_refused_and_not_kept(drive, serve, tiny_bundle, altered_bundle):
    def flip(manifest, folder):
        (name,) = manifest["drafter"]["data"]
        data = bytearray((folder / name).read_bytes())
        data[len(data) // 2] ^= 1
        (folder / name).write_bytes(data)

    with serve(altered_bundle(flip)) as served:
        driven = drive(served.root, [opening(WASM), opening(WASM)])
    found = driven.results["found"]
    assert found["ours"] is True
    assert "drafter/model.onnx.data" in found["message"]
    assert "SHA-256" in found["message"]
    asked = [url for url in models_asked_for(driven) if url.endswith("drafter/model.onnx.data")]
    assert len(asked) == 2, "what was wrong is asked for again"


@contextmanager
def cutting(port: int, after: int, times: int):
    """A way to ``port`` on which the first ``times`` connections that bring more than ``after`` bytes break off."""
    listener = socket.create_server(("127.0.0.1", 0))
    left = [times]

    def forward(client: socket.socket) -> None:
        with client, socket.create_connection(("127.0.0.1", port)) as server:
            threading.Thread(target=pump, args=(client, server), daemon=True).start()
            brought = 0
            with suppress(OSError):
                while chunk := server.recv(16384):
                    brought += len(chunk)
                    if brought > after and left[0] > 0:
                        left[0] -= 1
                        client.shutdown(socket.SHUT_RDWR)  # another thread reads from it: closing alone would wait
                        return
                    client.sendall(chunk)

    def pump(source: socket.socket, sink: socket.socket) -> None:
        with suppress(OSError):
            while chunk := source.recv(16384):
                sink.sendall(chunk)

    def accept() -> None:
        with suppress(OSError):
            while True:
                threading.Thread(target=forward, args=(listener.accept()[0],), daemon=True).start()

    threading.Thread(target=accept, daemon=True).start()
    try:
        yield listener.getsockname()[1], left
    finally:
        listener.close()


def test_a_broken_connection_is_taken_up_where_it_ended(drive, serve, tiny_bundle):
    size = (tiny_bundle / "target" / "model.onnx.data").stat().st_size
    with serve(tiny_bundle) as served:
        port = int(served.root.split(":")[2].split("/")[0])
        with cutting(port, after=size // 2, times=2) as (other, left):
            root = served.root.replace(str(port), str(other))
            driven = drive(root, [opening(WASM)])
            whole = drive(root, [opening(WASM)])
    found = driven.results["found"]
    assert left == [0], "the connection was cut"
    assert found.get("ids") == whole.results["found"]["ids"], found
    partial = [url for url, statuses in driven.statuses.items() if 206 in statuses]
    assert partial, "something was resumed by a range"
