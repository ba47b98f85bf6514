"""edgedraft phone: the bundle is served as it is, results become files to plan with, every mistake is a line."""

import contextlib
import dataclasses
import hashlib
import http.client
import json
import re
import signal
import socket
import ssl
import subprocess
import sys
import threading
import time
from dataclasses import dataclass
from urllib.parse import urlsplit

import onnx
import pytest

from edgedraft.__main__ import main
from edgedraft.devices.probing import phone as probing
from edgedraft.devices.profile_file import read_profile
from edgedraft.runtime.bundle.manifest import MANIFEST_NAME
from edgedraft.runtime.serving import adb, listening, site

DEVICE = {
    "name": "Pixel 9",
    "user_agent": "Mozilla/5.0 (Linux; Android 16; Pixel 9)",
    "adapter": "ARM Mali-G715",
    "software_adapter": False,
    "cores": 8,
    "memory_gigabytes": 8,
    "shader_f16": True,
    "max_buffer_bytes": 2**32,
    "max_binding_bytes": 2**30,
}


@pytest.fixture(autouse=True)
def page(tmp_path, monkeypatch):
    """A page of one file in place of the built one."""
    folder = tmp_path / "page"
    folder.mkdir()
    (folder / "index.html").write_text("<!doctype html><title>edgedraft</title>")
    monkeypatch.setattr(site, "_PAGE", folder)
    return folder


@pytest.fixture(autouse=True)
def few_graphs(monkeypatch):
    """A few of the probe's graphs instead of 140 MB; all of them are tested with devices."""
    few = dataclasses.replace(probing.WHOLE, chains=(("int4", 2048), ("fp32", 1024), ("fp32", 2048)))
    monkeypatch.setattr(probing, "WHOLE", few)


@dataclass(frozen=True, kw_only=True)
class Phone:
    """A browser that was given the printed address."""

    address: str

    def get(self, path: str) -> bytes:
        status, body = self.ask("GET", path)
        assert status == 200
        return body

    def post(self, path: str, data: object) -> tuple[int, str]:
        status, body = self.ask("POST", path, json.dumps(data))
        return status, body.decode()

    def ask(self, method: str, path: str, body: str | None = None) -> tuple[int, bytes]:
        parts = urlsplit(self.address)
        connection = http.client.HTTPConnection(parts.hostname, parts.port, timeout=30)
        with contextlib.closing(connection):
            connection.request(method, parts.path + path, body)
            response = connection.getresponse()
            return response.status, response.read()


@pytest.fixture
def opened(tiny_bundle, tiny_pair, tmp_path, capsys):
    """Runs the command with --once in a thread; gives the phone, and afterwards what was printed."""
    told = {}

    @contextlib.contextmanager
    def run(*options):
        command = ["phone", tiny_bundle, "--once", "--port", "0", "--cache", tiny_pair.cache, "--output", tmp_path]
        code = []
        thread = threading.Thread(target=lambda: code.append(main(list(map(str, [*command, *options])))))
        thread.start()
        out = err = ""
        end = time.monotonic() + 60
        while not (found := re.search(r"Open .*?: (\S+)\n", out + err)):
            assert thread.is_alive() and time.monotonic() < end, out + err
            time.sleep(0.05)
            more = capsys.readouterr()
            out, err = out + more.out, err + more.err
        yield Phone(address=found[1])
        thread.join(30)
        assert not thread.is_alive()
        more = capsys.readouterr()
        told.update(code=code[0], out=out + more.out, err=err + more.err)

    run.told = told
    return run


def probe_of(session, seconds=lambda case, rows: 1e-3 + case["weight_bytes"] / 20e9 * (1 + 0.1 * (rows - 1))):
    """What a page posts that timed every case."""
    plan = session["probe"]
    cases = [case for case in plan["cases"] if case["layers"] and not case["half"]]
    facts = ("precision", "width", "layers", "weight_bytes")
    return {
        "device": DEVICE,
        "onnxruntime": "onnxruntime-web 1.30.0",
        "date": "2026-11-23",
        "seconds": 60.0,
        "steps": [
            {name: case[name] for name in facts}
            | {"provider": "webgpu", "threads": 1, "rows": rows, "seconds": [seconds(case, rows)] * plan["rounds"]}
            for case in cases
            for rows in plan["rows"]
        ],
        "overheads": [{"provider": "webgpu", "seconds": [1e-3] * plan["rounds"]}],
        "skipped": [],
    }


BENCH = {
    "device": DEVICE,
    "onnxruntime": "onnxruntime-web 1.30.0",
    "date": "2026-11-23",
    "provider": {"target": "webgpu", "drafter": "wasm"},
    "report": {"prompts": 3, "max_new_tokens": 8, "ways": {"plain": {"tokens": 24}}},
}


def test_a_phone_gets_page_and_bundle_and_its_probe_becomes_a_profile(opened, tiny_bundle, tmp_path, capsys):
    with opened() as phone:
        assert re.fullmatch(r"http://127\.0\.0\.1:\d+/[\w-]{22}/", phone.address)
        assert phone.get("") == b"<!doctype html><title>edgedraft</title>"
        session = json.loads(phone.get("session.json"))
        manifest = json.loads(phone.get(f"{session['bundle']}{MANIFEST_NAME}"))
        for name, entry in manifest["files"].items():
            content = phone.get(f"bundle/{name}")
            assert hashlib.sha256(content).hexdigest() == entry["sha256"]
        for case in session["probe"]["cases"]:
            content = phone.get(case["file"])
            assert (len(content), hashlib.sha256(content).hexdigest()) == (case["bytes"], case["sha256"])
        assert phone.ask("GET", "../../etc/passwd")[0] in (403, 404)
        assert phone.post("results/probe", {"steps": []}) == (400, "results/probe: missing key device\n")
        assert phone.post("results/probe", probe_of(session)) == (204, "")
    told = opened.told
    assert told["code"] == 0
    (file,) = tmp_path.glob("probe-*.toml")
    assert re.fullmatch(r"probe-\d{4}-\d\d-\d\d-\d{6}\.toml", file.name)
    profile = read_profile(file)
    assert (profile.name, profile.kind, profile.probe.trusted) == ("Pixel 9", "phone", True)
    alone = "Only this computer can open it: --lan lets phones on the same network in, --adb one on a cable."
    assert alone in told["out"]
    assert f"Probe of Pixel 9: {file}\n" in told["out"]
    assert f"Plan for it: edgedraft plan --device {file} --provider webgpu\n" in told["out"]
    assert f"edgedraft trim {tiny_bundle} --vocab-size K\n" in told["out"]
    assert main(["devices", "show", str(file)]) == 0
    assert "tokens/s, one by one." in capsys.readouterr().out


def test_the_profile_is_one_that_plans_are_made_with(opened, tiny_pair, tmp_path, capsys):
    with opened() as phone:
        phone.post("results/probe", probe_of(json.loads(phone.get("session.json"))))
    (file,) = tmp_path.glob("probe-*.toml")
    pair = ("--target", tiny_pair.target, "--drafter", tiny_pair.drafter, "--cache", tiny_pair.cache)
    fixed = ("--target-precision", "fp32", "--drafter-precision", "fp32", "--max-new-tokens", "12", "--threads", "2")
    command = ["plan", "--device", file, "--provider", "webgpu", *pair, *fixed, "--prompts-per-half", "2", "--json"]
    assert main(list(map(str, command))) == 0
    plan = json.loads(capsys.readouterr().out)["plan"]
    assert plan["device"] == "Pixel 9"


def test_session_json_is_what_the_page_reads(opened, tiny_bundle):
    with opened() as phone:
        session = json.loads(phone.get("session.json"))
        phone.post("results/bench", BENCH)
    assert session.keys() == {"bundle", "full_drafter", "probe", "prompts", "post_results"}
    assert session["probe"].keys() == {"cases", "rows", "rounds"}
    assert session["probe"]["rows"] == [1, 2, 3, 4, 5, 8, 16]
    assert session["probe"]["cases"][0].keys() == {
        *("file", "bytes", "sha256", "precision", "width", "layers", "weight_bytes", "half")
    }
    assert len(session["prompts"]) == 3
    assert all(isinstance(prompt, str) and 10 < len(prompt) < 300 for prompt in session["prompts"])
    assert (session["bundle"], session["post_results"]) == ("bundle/", True)


def test_the_full_drafter_is_offered_where_it_is_cached(opened, tiny_pair, tmp_path):
    with opened() as phone:
        full = json.loads(phone.get("session.json"))["full_drafter"]
        (tmp_path / "served").mkdir()
        for name, entry in full["files"].items():
            content = phone.get(name)
            assert (len(content), hashlib.sha256(content).hexdigest()) == (entry["bytes"], entry["sha256"])
            (tmp_path / "served" / name.removeprefix("full/")).write_bytes(content)
        phone.post("results/bench", BENCH)
    assert full["files"].keys() == {full["graph"], *full["data"]}
    assert full["data"] == ["full/model.onnx.data"]
    assert (full["half"], full["largest_tensor_bytes"]) == (False, 1024 * 128 * 4)
    assert "GroupQueryAttention" in full["operators"]
    assert "GatherBlockQuantized" not in full["operators"]
    logits = onnx.load(tmp_path / "served" / "model.onnx").graph.output[0]
    assert logits.type.tensor_type.shape.dim[-1].dim_value == 1024


def test_without_the_cache_there_is_no_full_drafter(opened, tmp_path):
    with opened("--cache", tmp_path / "elsewhere") as phone:
        assert json.loads(phone.get("session.json"))["full_drafter"] is None
        phone.post("results/bench", BENCH)
    told = f"The full-vocabulary drafter is not at {tmp_path / 'elsewhere' / 'onnx'}: the page benches without it.\n"
    assert told in opened.told["err"]


def test_a_bench_becomes_a_file(opened, tmp_path):
    with opened("--name", "My phone") as phone:
        assert phone.post("results/bench", BENCH) == (204, "")
    (file,) = tmp_path.glob("bench-*.json")
    assert json.loads(file.read_text()) == BENCH
    assert f"Bench of My phone on webgpu and wasm: {file}\n" in opened.told["out"]


def test_as_json_the_address_is_beside_the_result(opened, tmp_path):
    with opened("--json") as phone:
        phone.post("results/bench", BENCH)
    (file,) = tmp_path.glob("bench-*.json")
    assert json.loads(opened.told["out"]) == {"results": [str(file)]}
    assert f"Open in a browser here: {phone.address}\n" in opened.told["err"]


def test_by_cable_the_phones_own_port_leads_here(opened, monkeypatch):
    calls = []

    class Client:
        def list(self):
            return [type("Listed", (), {"serial": "P1", "state": "device"})]

        def device(self, serial):
            class Chosen:
                def reverse(self, remote, local):
                    calls.append(("reverse", serial, remote, local))

                def reverse_remove(self, remote):
                    calls.append(("reverse_remove", serial, remote))

            return Chosen()

    monkeypatch.setattr(adb, "adb_client", Client)
    with opened("--adb", "--serial", "P1") as phone:
        port = urlsplit(phone.address).port
        phone.post("results/bench", BENCH)
    assert calls == [("reverse", "P1", f"tcp:{port}", f"tcp:{port}"), ("reverse_remove", "P1", f"tcp:{port}")]
    assert f"Open on the phone P1: http://127.0.0.1:{port}/" in opened.told["out"]
    assert "▀" in opened.told["out"]


def test_on_the_network_it_is_https_and_says_why(opened, monkeypatch, tiny_pair):
    monkeypatch.setattr(listening, "lan_addresses", lambda: ("127.0.0.1", "10.1.2.3"))
    with opened("--lan") as phone:
        assert phone.address.startswith("https://127.0.0.1:")
        pem = tiny_pair.cache / "phone" / "https.pem"
        parts = urlsplit(phone.address)
        trusting = ssl.create_default_context(cafile=pem)
        with contextlib.closing(http.client.HTTPSConnection("127.0.0.1", parts.port, context=trusting)) as connection:
            connection.request("POST", f"{parts.path}results/bench", json.dumps(BENCH))
            assert connection.getresponse().status == 204
    out = opened.told["out"]
    assert "If it does not answer, try 10.1.2.3 in its place.\n" in out
    assert "The phone's browser will warn once that it does not know the certificate" in out
    assert re.search(r"^([0-9A-F]{2}:){31}[0-9A-F]{2}$", out, re.MULTILINE)
    assert "▀" in out


def test_ctrl_c_ends_it_well(tiny_bundle, tiny_pair, page):
    """A process of its own, as from a shell; a download that was begun does not hold it up for long."""
    arguments = ["phone", str(tiny_bundle), "--port", "0", "--cache", str(tiny_pair.cache)]
    script = (
        "import pathlib, sys; from edgedraft.runtime.serving import site; from edgedraft.__main__ import main; "
        f"site._PAGE = pathlib.Path({str(page)!r}); sys.exit(main({arguments!r}))"
    )
    command = [sys.executable, "-c", script]
    pipe = subprocess.PIPE
    with subprocess.Popen(command, stdout=pipe, stderr=pipe, text=True) as process:
        phone = Phone(address=process.stdout.readline().split()[-1])
        assert phone.get("").startswith(b"<!doctype html>")
        process.send_signal(signal.SIGINT)
        out, err = process.communicate(timeout=20)
    assert process.returncode == 0
    assert err == ""
    assert "Traceback" not in out


@pytest.fixture
def refused(capsys, tiny_pair):
    """Runs phone, which must refuse; returns its one line."""

    def run(*options):
        assert main(["phone", *map(str, options), "--cache", str(tiny_pair.cache)]) == 2
        (line,) = [line for line in capsys.readouterr().err.splitlines() if line.startswith("edgedraft: ")]
        return line.removeprefix("edgedraft: ")

    return run


def test_mistakes_are_one_line(refused, tiny_bundle, tmp_path, page, monkeypatch):
    assert refused(tmp_path / "none") == (
        f"{tmp_path / 'none'}: no such bundle folder - name a folder written by edgedraft export"
    )
    assert refused(tiny_bundle, "--serial", "P1") == "--serial: names a phone for --adb, got no --adb"
    assert refused(tiny_bundle, "--port", 70000) == "--port: expected 0..65535, got 70000"
    with socket.create_server(("127.0.0.1", 0)) as other:
        port = other.getsockname()[1]
        taken = f"port {port} of 127.0.0.1 is taken - end the other server, or choose another --port"
        assert refused(tiny_bundle, "--port", port) == taken
    monkeypatch.setattr(listening, "lan_addresses", tuple)
    assert refused(tiny_bundle, "--lan", "--port", 0) == (
        "--lan: this computer has no address that a phone could reach - join a network, or use --adb"
    )
    (page / "index.html").unlink()
    assert refused(tiny_bundle) == (
        f"{page}: the page is not built - run `npm ci --ignore-scripts && npm run build` in runtime/web"
    )


def test_lan_and_cable_are_one_or_the_other(tiny_bundle):
    with pytest.raises(SystemExit) as stopped:
        main(["phone", str(tiny_bundle), "--lan", "--adb"])
    assert stopped.value.code == 2
