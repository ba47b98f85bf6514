"""The command line as a user meets it: commands on a tiny real pair, and one clear line for every mistake."""

import json
import os
import resource
import shutil
import subprocess
import sys

import onnx_ir as ir
import pytest

from edgedraft.__main__ import build_parser, main
from edgedraft.exporter.graph.precisions import PRECISIONS
from edgedraft.exporter.pipeline.measuring import PairSteps
from edgedraft.runtime.core.policies import POLICIES
from edgedraft.runtime.onnx.providers import available_providers

THREADS = ("--threads", "2")


@pytest.fixture(scope="module")
def pair_options(tiny_pair):
    return [
        *("--target", str(tiny_pair.target), "--drafter", str(tiny_pair.drafter), "--cache", str(tiny_pair.cache)),
        *("--target-precision", "fp32", "--drafter-precision", "fp32", "--max-new-tokens", "12", *THREADS),
    ]


@pytest.fixture
def prompts_file(tmp_path):
    file = tmp_path / "prompts.jsonl"
    lines = [{"id": str(i), "prompt": f"sort the list {i}"} for i in range(4)]
    file.write_text("\n".join(json.dumps(line) for line in lines), encoding="utf-8")
    return file


def refused(arguments, capsys):
    """Run a command that must fail as a user's mistake; returns its one line."""
    assert main([str(argument) for argument in arguments]) == 2
    captured = capsys.readouterr()
    lines = [line for line in captured.err.splitlines() if line.startswith("edgedraft: ")]
    assert len(lines) == 1
    return lines[0]


def test_export_generate_bench_and_plan_work_together(pair_options, prompts_file, tmp_path, capsys, monkeypatch):
    monkeypatch.setattr(PairSteps, "noise", 0.0)  # step times are kept, however busy this machine is
    bundle = tmp_path / "bundle"
    assert main(["export", str(bundle), *pair_options, "--prompts", str(prompts_file), "--json"]) == 0
    plan = json.loads(capsys.readouterr().out)["plan"]
    assert (bundle / "edgedraft.json").is_file()
    assert main(["plan", *pair_options, "--prompts", str(prompts_file), "--json"]) == 0
    assert json.loads(capsys.readouterr().out)["plan"] == plan, "the same cache gives the same plan"

    texts = []
    for way in ("--speculate", "--plain"):
        arguments = ["generate", str(bundle), "merge the list", way, "--max-new-tokens", "20", *THREADS, "--json"]
        assert main(arguments) == 0
        texts.append(json.loads(capsys.readouterr().out)["text"])
    assert texts[0] == texts[1]

    arguments = ["bench", str(bundle), "--prompts", str(prompts_file), "-n", "2", "--max-new-tokens", "8", "--json"]
    assert main(arguments) == 0
    ways = json.loads(capsys.readouterr().out)["report"]["ways"]
    assert set(ways) == {"target alone", "trimmed drafter", "trimmed drafter, adaptive"}
    assert {way["equal_texts"] for way in ways.values()} == {2}


def test_quickstart_runs_the_whole_job(pair_options, prompts_file, tmp_path, capsys):
    bundle = tmp_path / "quick"
    arguments = ["quickstart", "--output", str(bundle), *pair_options, "--prompts", str(prompts_file)]
    assert main([*arguments, "--bench-tokens", "8", "--bench-prompts", "2"]) == 0
    shown = capsys.readouterr().out
    assert "full-vocabulary drafter" in shown
    assert "Verdict: " in shown
    assert (tmp_path / "quick.png").read_bytes().startswith(b"\x89PNG")


def test_drawn_answers_repeat_with_their_seed(tiny_bundle, capsys):
    texts = []
    for seed in ("1", "1", "2"):
        drawn = ["--temperature", "0.9", "--top-p", "0.95", "--seed", seed, "--speculate", "--max-new-tokens", "24"]
        assert main(["generate", str(tiny_bundle), "sort the list", *drawn, "--json"]) == 0
        texts.append(json.loads(capsys.readouterr().out)["text"])
    assert texts[0] == texts[1]
    assert texts[0] != texts[2]


@pytest.mark.parametrize("policy", POLICIES)
def test_every_policy_answers_alike(tiny_bundle, policy, capsys):
    texts = []
    for options in (["--plain"], ["--policy", policy, *(["--p-min", "0.3"] if policy == "confident" else [])]):
        assert main(["generate", str(tiny_bundle), "sort the list", *options, "--max-new-tokens", "16", "--json"]) == 0
        texts.append(json.loads(capsys.readouterr().out)["text"])
    assert texts[0] == texts[1]


def test_bench_measures_the_policies_asked_for_beside_the_plans(tiny_bundle, capsys):
    policies = ["--policy", "confident", "--policy", "ngram"]
    assert main(["bench", str(tiny_bundle), *policies, "-n", "1", "--max-new-tokens", "6", "--json"]) == 0
    ways = json.loads(capsys.readouterr().out)["report"]["ways"]
    assert list(ways) == ["target alone", "trimmed drafter", "trimmed drafter, confident", "trimmed drafter, ngram"]


def test_bench_refuses_an_unknown_policy_before_it_opens_anything(tmp_path, capsys):
    line = refused(["bench", tmp_path / "nothing", "--policy", "eager"], capsys)
    assert line == f"edgedraft: policy: expected one of {', '.join(POLICIES)}, got eager"


def test_generate_refuses_an_unknown_policy(tiny_bundle, capsys):
    with pytest.raises(SystemExit) as stopped:
        main(["generate", str(tiny_bundle), "hello", "--policy", "eager"])
    assert stopped.value.code == 2
    assert "argument --policy: invalid choice: 'eager'" in capsys.readouterr().err


def test_a_probability_without_a_meaning_is_refused(tiny_bundle, capsys):
    line = refused(["generate", tiny_bundle, "hello", "--policy", "confident", "--p-min", "1.5"], capsys)
    assert line == "edgedraft: p_min must lie in 0..1, got 1.5"


@pytest.mark.parametrize("command", [["generate", "hello"], ["bench"], ["chat"]], ids=lambda command: command[0])
@pytest.mark.parametrize("option", ["--target-provider", "--drafter-provider"])
def test_an_unknown_provider_is_refused(tiny_bundle, command, option, capsys):
    line = refused([command[0], tiny_bundle, *command[1:], option, "abacus"], capsys)
    offered = ", ".join(sorted(available_providers()))
    remedy = "choose one of these or install the onnxruntime build that has it"
    assert line == f"edgedraft: provider: this onnxruntime offers {offered}, got abacus - {remedy}"


def test_a_chat_longer_than_the_context_leaves_its_oldest_turns_out(tiny_bundle, monkeypatch, capsys):
    lines = iter(["sort the list " * 6, "merge the list " * 6, "return " * 6, ""])
    monkeypatch.setattr("builtins.input", lambda prompt: next(lines))
    assert main(["chat", str(tiny_bundle), "--context-length", "64", "--max-new-tokens", "8"]) == 0
    assert "[the context is full: the oldest " in capsys.readouterr().err


def test_a_setting_without_a_meaning_is_refused(tiny_bundle, capsys):
    line = refused(["generate", tiny_bundle, "hello", "--top-p", "2"], capsys)
    assert line == "edgedraft: top_p must lie above 0 and up to 1, got 2.0"


def test_chat_answers_line_by_line(tiny_bundle, monkeypatch, capsys):
    lines = iter(["sort the list", "and merge", ""])
    monkeypatch.setattr("builtins.input", lambda prompt: next(lines))
    assert main(["chat", str(tiny_bundle), "--max-new-tokens", "6", "--json"]) == 0
    messages = json.loads(capsys.readouterr().out)["messages"]
    assert [message["role"] for message in messages] == ["user", "assistant", "user", "assistant"]


def test_a_flipped_byte_is_named(tiny_bundle, tmp_path, capsys):
    broken = tmp_path / "broken"
    shutil.copytree(tiny_bundle, broken)
    data = broken / "drafter" / "model.onnx.data"
    content = bytearray(data.read_bytes())
    content[1000] ^= 1
    data.write_bytes(content)
    line = refused(["generate", broken, "hello"], capsys)
    assert f"{data}: SHA-256: expected " in line
    assert line.endswith("- export the bundle again or copy it afresh")


def test_no_bundle(tmp_path, capsys):
    line = refused(["bench", tmp_path / "nothing"], capsys)
    assert (
        line == f"edgedraft: {tmp_path / 'nothing'}: no such bundle folder - name a folder written by edgedraft export"
    )


def test_an_empty_prompts_file(pair_options, tmp_path, capsys):
    empty = tmp_path / "empty.jsonl"
    empty.write_text("\n")
    line = refused(["export", tmp_path / "bundle", *pair_options, "--prompts", empty], capsys)
    assert line == f'edgedraft: {empty}: expected at least one entry, got 0 - write one {{"prompt": "..."}} a line'
    assert not (tmp_path / "bundle").exists()


def test_a_draft_vocabulary_larger_than_the_vocabulary(pair_options, prompts_file, tmp_path, capsys):
    arguments = ["export", tmp_path / "bundle", *pair_options, "--prompts", prompts_file, "--vocab-size", "1025"]
    line = refused(arguments, capsys)
    assert "draft vocabulary size: expected 1..1024, got 1025" in line
    assert not (tmp_path / "bundle").exists()


def test_tokenizers_that_differ(tiny_pair, pair_options, prompts_file, tmp_path, capsys):
    other = tmp_path / "other-drafter"
    shutil.copytree(tiny_pair.drafter, other)
    tokenizer = json.loads((other / "tokenizer.json").read_text())
    tokenizer["model"]["merges"] = tokenizer["model"]["merges"][:-1]
    (other / "tokenizer.json").write_text(json.dumps(tokenizer))
    line = refused(["export", tmp_path / "b", *pair_options, "--drafter", other, "--prompts", prompts_file], capsys)
    assert "target and drafter must share one tokenizer" in line
    assert line.endswith("- choose a drafter of the target's family")


def test_a_head_of_unknown_shape_is_named(tiny_opened, pair_options, prompts_file, tmp_path, capsys):
    strange = tmp_path / "strange"
    shutil.copytree(tiny_opened.drafter.path, strange)
    model = ir.load(strange / "model.onnx")
    logits = model.graph.outputs[0]
    scaled = ir.val("logits", logits.dtype, logits.shape)
    logits.name = "unscaled"
    model.graph.append(ir.node("Softmax", [logits], name="odd_head/Softmax", outputs=[scaled]))
    model.graph.outputs[0] = scaled
    ir.save(model, strange / "model.onnx")
    line = refused(["export", tmp_path / "b", *pair_options, "--drafter", strange, "--prompts", prompts_file], capsys)
    assert (
        "LM head: node odd_head/Softmax: expected one of DynamicQuantizeMatMul, Gemm, MatMul, MatMulInteger, " in line
    )
    assert "got Softmax - export the drafter with one of these heads" in line


def test_a_folder_that_is_not_a_bundle_is_never_replaced(pair_options, prompts_file, tmp_path, capsys):
    precious = tmp_path / "precious"
    precious.mkdir()
    (precious / "thesis.txt").write_text("years of work")
    line = refused(["export", precious, *pair_options, "--prompts", prompts_file], capsys)
    assert "exists and is not a bundle" in line
    assert (precious / "thesis.txt").read_text() == "years of work"


def test_mistakes_are_found_before_anything_is_sampled(pair_options, prompts_file, tmp_path, capsys, monkeypatch):
    def never(*_):
        raise AssertionError("calibrated first")

    monkeypatch.setattr("edgedraft.exporter.pipeline.stages.calibrate_pair", never)
    (tmp_path / "notes.txt").write_text("mine")
    arguments = ["export", tmp_path / "bundle", *pair_options, "--prompts", prompts_file]
    assert "expected 1..1024, got 1025" in refused([*arguments, "--vocab-size", "1025"], capsys)
    assert "draft length: expected 1..16, got 17" in refused([*arguments, "--draft-length", "17"], capsys)
    assert "exists and is not a bundle" in refused(["export", tmp_path, *pair_options], capsys)


@pytest.mark.parametrize("option", [["-n", "-1"], ["--draft-length", "0"], ["--max-new-tokens", "0"]])
def test_numbers_below_one_are_refused(tiny_bundle, option, capsys):
    with pytest.raises(SystemExit) as stopped:
        main(["bench", str(tiny_bundle), *option])
    assert stopped.value.code == 2
    assert "expected 1 or more" in capsys.readouterr().err


def test_the_offered_precisions_are_those_that_can_be_built():
    options = build_parser().parse_args(["plan"])
    assert options.target_precisions == options.drafter_precisions == ("auto",)
    parsed = build_parser().parse_args(["plan", "--target-precision", *PRECISIONS])
    assert parsed.target_precisions == list(PRECISIONS)


def test_unknown_models_list_the_known_ones(tmp_path, capsys):
    line = refused(["models", "fetch", "qwen2.5-coder-1.5b", "--cache", tmp_path], capsys)
    assert "did you mean qwen2.5-coder-1.5b-instruct?" in line
    line = refused(["export", tmp_path / "b", "--target", "no-such-model", "--cache", tmp_path], capsys)
    assert "packaged: qwen2.5-coder-0.5b-instruct, qwen2.5-coder-1.5b-instruct" in line


def test_a_wrong_hash_in_the_cache_is_refused(tmp_path, capsys):
    file = tmp_path / "models" / "qwen2.5-coder-0.5b-instruct-q4_k_m.gguf"
    file.parent.mkdir()
    with file.open("wb") as handle:
        handle.truncate(491_400_064)
    line = refused(["models", "fetch", "qwen2.5-coder-0.5b-instruct", "--cache", tmp_path], capsys)
    assert f"{file}: SHA-256: expected 1d9614638d18024d0fbb36575a15f1302a3adf044df10345688ec4f6e1c4ff32, got " in line
    assert line.endswith("- delete it and fetch again")


@pytest.mark.skipif(not hasattr(resource, "RLIMIT_FSIZE"), reason="the system sets no file size limits")
def test_a_full_disk_while_exporting_leaves_the_old_bundle(pair_options, prompts_file, tmp_path):
    """A process that may not write files over 300 kB meets the same failure as a full disk."""
    bundle = tmp_path / "bundle"
    command = ["export", str(bundle), *pair_options, "--prompts", str(prompts_file)]
    assert main([*command, "--vocab-size", "128", "--json"]) == 0
    before = {file.name: file.stat().st_mtime_ns for file in bundle.rglob("*")}
    limited = "import resource, sys; resource.setrlimit(resource.RLIMIT_FSIZE, (300_000, 300_000));"
    code = f"{limited} from edgedraft.__main__ import main; sys.exit(main(sys.argv[1:]))"
    again = [sys.executable, "-c", code, *command, "--vocab-size", "192"]
    result = subprocess.run(again, capture_output=True, text=True, check=False, env={**os.environ})
    assert result.returncode == 2, result.stderr
    last = result.stderr.strip().splitlines()[-1]
    assert last.startswith(f"edgedraft: {bundle}: no room left while writing, got ")
    assert {file.name: file.stat().st_mtime_ns for file in bundle.rglob("*")} == before
    assert [path.name for path in tmp_path.iterdir() if path.name.startswith(".bundle")] == []


def test_ctrl_c_is_told_how_to_go_on(monkeypatch, capsys):
    def stop(options, console):
        raise KeyboardInterrupt

    monkeypatch.setattr("edgedraft.commands.devices.run", stop)
    assert main(["devices", "show"]) == 130
    assert capsys.readouterr().err.strip() == "edgedraft: stopped - run the same command again to go on from here"
