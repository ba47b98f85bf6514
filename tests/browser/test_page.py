"""The page as a person uses it: load, chat, bench, probe, at phone and desktop width; results come back as files."""

import contextlib
import dataclasses
import json
import re
import signal
import subprocess
import sys

import pytest

from edgedraft.__main__ import main
from edgedraft.devices.profile_file import read_profile, write_profile

pytestmark = pytest.mark.browser

PHONE, DESKTOP = {"width": 390, "height": 844}, {"width": 1280, "height": 800}
LOADED = [{"wait": "#load"}, {"click": "#load"}, {"wait": "#chat-input"}]
ON_WASM = [
    {"wait": "#load"},
    {"click": "label:has(#provider-target-wasm)"},
    {"click": "label:has(#provider-drafter-wasm)"},
]
ABSENT = "document.querySelector('#tuned') === null"
NO_SIDEWAYS = "document.documentElement.scrollWidth <= document.documentElement.clientWidth"


@contextlib.contextmanager
def phone(bundle, output, cache, *options):
    """`edgedraft phone` as a process; gives the address that it prints."""
    command = [sys.executable, "-m", "edgedraft", "phone", str(bundle), "--output", str(output), "--cache", str(cache)]
    process = subprocess.Popen([*command, "--port", "0", *options], stdout=subprocess.PIPE, text=True)
    try:
        assert process.stdout is not None
        address = next(filter(None, (re.search(r"http://\S+", line) for line in process.stdout)))[0]
        yield address, process
    finally:
        process.send_signal(signal.SIGINT)
        process.communicate(timeout=20)


@pytest.fixture
def opened(built, tiny_bundle, tiny_pair, tmp_path):
    built("page")

    def run(*options):
        return phone(tiny_bundle, tmp_path / "results", tiny_pair.cache, *options)

    return run


@pytest.mark.parametrize("provider", ["webgpu", "wasm"])
def test_chat_shows_what_was_drafted(provider, opened, drive, tmp_path):
    chat = [
        *(LOADED if provider == "webgpu" else [*ON_WASM, *LOADED]),
        {"fill": ["#chat-input", "sort the list"]},
        {"press": "Enter"},
        {"wait": "#messages[aria-busy='false'] li:nth-child(2)"},
        {"evaluate": "document.querySelectorAll('#messages .drafted').length", "as": "drafted"},
        {"text": "#live-tau", "as": "tau"},
        {"evaluate": NO_SIDEWAYS, "as": "fits"},
        {"screenshot": str(tmp_path / "chat.png")},
    ]
    with opened() as (address, _):
        driven = drive(f"{address}?tune=no", chat, viewport=PHONE)
        driven.require_quiet(address)
    assert driven.results["drafted"] > 0
    assert float(re.search(r"\d+\.\d+", driven.results["tau"])[0]) > 1.0
    assert driven.results["fits"] is True
    assert (tmp_path / "chat.png").stat().st_size > 10_000


@pytest.mark.parametrize("provider", ["webgpu", "wasm"])
def test_the_page_tunes_itself_once_and_chats_by_what_it_chose(provider, opened, drive):
    watched = """
        window.said = [];
        new MutationObserver(() => said.push(document.querySelector("#condition")?.textContent ?? ""))
            .observe(document.body, { subtree: true, childList: true, characterData: true });
        return true;
    """
    shown = [
        {"text": "#tuned", "as": "sentence"},
        {"text": "#chat-options summary", "as": "options"},
        {"evaluate": "said.some((words) => words.includes('Tuning'))", "as": "timed"},
        {"evaluate": NO_SIDEWAYS, "as": "fits"},
    ]
    again = [step | {"as": f"{step['as']} again"} for step in shown]
    answered = [
        {"fill": ["#chat-input", "sort the list"]},
        {"press": "Enter"},
        {"wait": "#messages[aria-busy='false'] li:nth-child(2)"},
        {"text": "#messages li:nth-child(2)", "as": "answer"},
    ]
    alone = [{"click": "#chat-options summary"}, {"select": ["#drafts", "none"]}, *answered[:-1]]
    visit = [*(ON_WASM if provider == "wasm" else []), {"wait": "#load"}, {"evaluate": watched}, *LOADED]
    with opened() as (address, _):
        tuned = [*visit, *shown, *answered, {"reload": True}, *visit, *again]
        untuned = [{"goto": f"{address}?tune=no"}, *visit, *alone]
        last = [{"text": "#messages li:nth-child(2)", "as": "answer alone"}, {"evaluate": ABSENT, "as": "silent"}]
        driven = drive(address, [*tuned, *untuned, *last], viewport=PHONE)
        driven.require_quiet(address)
    found = driven.results
    assert found["answer"] == found["answer alone"]
    assert found["silent"] is True
    assert (found["timed"], found["timed again"]) == (True, False)
    assert found["sentence again"] == found["sentence"]
    assert found["sentence"].startswith("Tuned on this device: ")
    assert "keeps nothing" not in found["sentence"]
    chosen = re.match(r"Tuned on this device: (?:(\d+) drafts? a round by (.*),|do not speculate)", found["sentence"])
    expected = "No drafts" if chosen[1] is None else f"{chosen[1]} draft"
    assert expected in found["options"]
    assert chosen[2] is None or chosen[2] in found["options"]
    assert found["fits"] is True


@pytest.mark.parametrize("viewport", [PHONE, DESKTOP], ids=["phone", "desktop"])
def test_bench_compares_three_ways_and_sends_them(viewport, opened, drive, tmp_path):
    bench = [
        *ON_WASM,
        {"click": "label:has(#with-full)"},
        *LOADED,
        {"click": "#tab-bench"},
        {"select": ["#bench-tokens", "16"]},
        {"click": "#bench-start"},
        {"wait": "#bench-verdict", "timeout_seconds": 300},
        {"text": "#bench-verdict", "as": "verdict"},
        {"wait_text": ["#bench-posted", "was sent"]},
        {"text": "#bench-place", "as": "place"},
        {"evaluate": NO_SIDEWAYS, "as": "fits"},
        {"screenshot": str(tmp_path / "bench.png"), "full": True},
    ]
    with opened("--once") as (address, process):
        driven = drive(address, bench, viewport=viewport)
        driven.require_quiet(address)
        process.wait(timeout=20)
    (file,) = (tmp_path / "results").glob("bench-*.json")
    found = json.loads(file.read_text())
    assert found["provider"] == {"target": "wasm", "drafter": "wasm"}
    assert found["device"]["software_adapter"] is True
    assert driven.results["place"] == "Target and drafter ran on WebAssembly."
    ways = found["report"]["ways"]
    assert set(ways) == {"plain", "full", "trimmed"}
    assert all(way["tokens_per_second"]["median"] > 0 for way in ways.values())
    assert ways["trimmed"]["equal_texts"] == ways["plain"]["equal_texts"] > 0
    assert driven.results["verdict"].strip()
    assert driven.results["fits"] is True
    assert (tmp_path / "bench.png").stat().st_size > 10_000


def test_the_probe_comes_back_as_a_profile_that_plans(opened, drive, tmp_path, tiny_pair, tiny_prompts, capsys):
    probe = [
        {"wait": "#tab-probe"},
        {"click": "#tab-probe"},
        {"fill": ["#device-name", "A tested phone"]},
        {"click": "#probe-start"},
        {"wait_text": ["#probe-posted", "was sent"], "timeout_seconds": 500},
    ]
    with opened("--once", "--quick") as (address, process):
        driven = drive(address, probe, viewport=PHONE, timeout_seconds=500)
        driven.require_quiet(address)
        process.wait(timeout=20)
    (file,) = (tmp_path / "results").glob("probe-*.toml")
    profile = read_profile(file)
    assert profile.name == "A tested phone"
    assert {step.provider for step in profile.probe.steps} == {"webgpu", "wasm"}
    pair = ["--target", str(tiny_pair.target), "--drafter", str(tiny_pair.drafter), "--cache", str(tiny_pair.cache)]
    fp32 = ["--target-precision", "fp32", "--drafter-precision", "fp32", "--max-new-tokens", "12", "--threads", "2"]
    prompts = tmp_path / "prompts.jsonl"
    prompts.write_text("\n".join(json.dumps({"id": str(i), "prompt": f"sort the list {i}"}) for i in range(4)))
    calm = tmp_path / "calm.toml"  # however noisy it was here: what is tested is that its steps can be planned by
    write_profile(calm, dataclasses.replace(profile, probe=dataclasses.replace(profile.probe, trusted=True)))
    for path, provider in ((file, "webgpu"), (calm, "webgpu"), (calm, "wasm")):
        device = ["--device", str(path), "--provider", provider]
        assert main(["plan", *pair, *fp32, "--prompts", str(prompts), *device, "--json"]) == 0
        plan = json.loads(capsys.readouterr().out)["plan"]
        assert plan["device"] == "A tested phone"


def test_tabs_follow_the_arrow_keys(opened, drive):
    steps = [
        {"wait": "#tab-start"},
        {"evaluate": "document.querySelector('#tab-start').focus()"},
        {"press": "ArrowRight"},
        {"wait": "#tab-chat[aria-selected=true]:focus"},
        {"press": "End"},
        {"wait": "#tab-probe[aria-selected=true]:focus"},
        {"evaluate": "document.querySelectorAll('[role=tab][aria-selected=true]').length", "as": "chosen"},
        {"evaluate": "document.querySelectorAll('[role=tab][tabindex=\"0\"]').length", "as": "stops"},
    ]
    with opened() as (address, _):
        driven = drive(address, steps)
        driven.require_quiet(address)
    assert driven.results == {"chosen": 1, "stops": 1}
