"""edgedraft plan on a tiny real pair: methods, devices, precisions, limits, pictures, one line for every mistake."""

import dataclasses
import json

import pytest

from edgedraft.__main__ import main
from edgedraft.devices.profile_file import read_profile, write_profile
from edgedraft.devices.registry import find_profile
from edgedraft.exporter.graph import providers
from edgedraft.exporter.graph.providers import PROVIDERS
from edgedraft.exporter.planning.scan import tiled_sizes

SMALL = ("--max-new-tokens", "12", "--threads", "2")


@pytest.fixture(scope="module")
def pair_options(tiny_pair):
    return [
        *("--target", str(tiny_pair.target), "--drafter", str(tiny_pair.drafter), "--cache", str(tiny_pair.cache)),
        *("--drafter-precision", "fp32", *SMALL),
    ]


@pytest.fixture(scope="module")
def prompts_file(tmp_path_factory):
    file = tmp_path_factory.mktemp("prompts") / "prompts.jsonl"
    lines = [{"id": str(i), "prompt": f"sort the list {i}"} for i in range(6)]
    file.write_text("\n".join(json.dumps(line) for line in lines), encoding="utf-8")
    return file


@pytest.fixture
def plan(pair_options, prompts_file, capsys):
    """Runs plan and returns its JSON, or with ``told`` what it prints."""

    def run(*options, told=False, precisions=("fp32",)):
        arguments = [*pair_options, "--prompts", str(prompts_file), "--target-precision", *precisions]
        assert main(["plan", *arguments, *map(str, options), *([] if told else ["--json"])]) == 0
        out = capsys.readouterr().out
        return out if told else json.loads(out)

    return run


@pytest.fixture
def refused(pair_options, prompts_file, capsys):
    """Runs plan, which must refuse; returns its one line."""

    def run(*options, precisions=("fp32",)):
        arguments = [*pair_options, "--prompts", str(prompts_file), "--target-precision", *precisions]
        assert main(["plan", *arguments, *map(str, options)]) == 2
        lines = [line for line in capsys.readouterr().err.splitlines() if line.startswith("edgedraft: ")]
        assert len(lines) == 1
        return lines[0]

    return run


def test_the_plan_comes_with_its_certainty_and_where_the_time_goes(plan):
    told = plan("--explain", told=True)
    for text in ("with 80 % confidence", "Runner-up: ", "peculate: a round of", "ms a token", "target's overhead"):
        assert text in told, told
    found = plan()
    sure = found["certainty"]
    assert sure["tokens_per_second"]["low"] <= sure["tokens_per_second"]["high"]
    assert found["plan"]["chance_to_pay"] == sure["chance_to_pay"]
    assert sum(term["share"] for term in found["round"]) == pytest.approx(1.0)


def test_a_device_that_is_not_here_is_planned_by_its_prior(plan, capsys):
    phone = plan("--device", "snapdragon 8 gen 3")["plan"]
    profile = find_profile("snapdragon 8 gen 3")
    assert phone["device"] == profile.name
    assert phone["threads"] == (profile.cores or 2)
    board = plan("--device", "Raspberry Pi 4")["plan"]
    assert board["predicted_plain_tokens_per_second"] < phone["predicted_plain_tokens_per_second"]
    laptop = plan("--device", "MacBook Air M2", "--provider", "gpu")["plan"]
    assert laptop["device"] == "MacBook Air (M2)"
    told = plan("--device", "snapdragon 8 gen 3", told=True)
    assert "A prior, not a measurement:" in told.splitlines()[-1]


def test_a_provider_that_nobody_probed_is_planned_by_its_processors_prior(plan):
    webgpu, gpu = (plan("--device", "snapdragon 8 gen 3", "--provider", name)["plan"] for name in ("webgpu", "gpu"))
    assert webgpu["predicted_tokens_per_second"] == gpu["predicted_tokens_per_second"]
    told = plan("--device", "snapdragon 8 gen 3", "--provider", "webgpu", told=True)
    assert "webgpu was not measured there, so its GPU's prior stands in." in told.splitlines()[-1]


def test_what_a_provider_runs_badly_is_told(pair_options, prompts_file, capsys):
    arguments = [*pair_options, "--prompts", str(prompts_file), "--target-precision", "fp32"]
    assert main(["plan", *arguments, "--device", "snapdragon 8 gen 3", "--provider", "coreml", "--json"]) == 0
    told = capsys.readouterr().err.splitlines()
    assert "coreml takes products of float weights only, and leaves attention to the CPU." in told


def test_the_users_own_profile_is_a_device_too(plan, tmp_path):
    write_profile(tmp_path / "mine.toml", find_profile("raspberry pi 5"))
    assert plan("--device", tmp_path / "mine.toml")["plan"]["device"] == find_profile("rpi5").name


def test_several_precisions_are_weighed_and_those_that_stray_are_left_out(plan, refused):
    both = plan("--device", "apple-m4", precisions=("int8", "fp32"))
    assert both["plan"]["target_precision"] in ("int8", "fp32")
    exact = plan("--device", "apple-m4", "--max-divergence", "1e-9", precisions=("int8", "fp32"))
    assert exact["plan"]["target_precision"] == "fp32"
    line = refused("--max-divergence", "1e-9", precisions=("int8",))
    assert "target precision int8: KL per token against fp32 must be at most 1e-09, got 0." in line


def test_the_search_is_compared_with_the_scan_and_can_be_resumed(plan, tmp_path):
    store = tmp_path / "trials.db"
    first = plan("--trials", "20", "--storage", store, "--device", "rpi5")["search"]
    assert store.is_file()
    assert first == plan("--trials", "20", "--storage", store, "--device", "rpi5")["search"]
    told = plan("--trials", "20", "--device", "rpi5", told=True)
    assert "TPE: 20 trials reach" in told
    assert "of the scan's best" in told


def test_pictures_are_drawn_as_png_and_svg(plan, tmp_path):
    plan("--device", "rpi5", "--pictures", tmp_path / "drawn")
    kinds = {file.suffix for file in (tmp_path / "drawn").iterdir()}
    assert kinds == {".png", ".svg"}


def test_a_saved_calibration_plans_without_sampling(plan, pair_options, prompts_file, tmp_path, capsys):
    saved, options = tmp_path / "saved", [*pair_options, "--prompts", str(prompts_file), "--target-precision", "fp32"]
    assert main(["calibrate", *options, "--output", str(saved)]) == 0
    capsys.readouterr()
    sampled, loaded = (plan("--device", "rpi5", *extra)["plan"] for extra in ((), ("--calibration", saved)))
    assert sampled == loaded


def test_mbsu_maximises_the_model_that_takes_verification_as_free(plan):
    found = plan("--method", "mbsu")
    best = found["best"]
    assert best["mbsu"] == max(option["mbsu"] for option in found["options"])
    assert best["mbsu"] == pytest.approx(best["block_efficiency"] / (best["cost_ratio"] * best["draft_length"] + 1))


def test_balanced_writes_the_reference_tools_files(plan, tmp_path):
    found = plan("--method", "balanced", "--output-dir", tmp_path / "out", "--n-calls", "5", "--max-vocab-size", "1000")
    names = {file.name for file in (tmp_path / "out").iterdir()}
    assert names == {"summary.json", "full_results.json", "optimization_results.png"}
    summary = json.loads((tmp_path / "out" / "summary.json").read_text())
    assert summary["optimal_draft_vocab_size"] == found["chosen"]["size"]


@pytest.mark.parametrize(
    ("options", "message"),
    [
        (
            ("--device", "macbok air m2"),
            "no device is called 'macbok air m2' - did you mean \"MacBook Air (M2)\" (apple-m2)",
        ),
        (("--memory-budget", "1kB"), "memory budget 0.00 GiB: no plan fits - the smallest needs 0.00 GiB: allow more"),
        (("--device", "rpi5", "--provider", "gpu"), "got fp32 on gpu"),
        (("--device", "rpi5", "--provider", "webgpu"), "got fp32 on webgpu"),
        (
            ("--provider", "wasm"),
            "got wasm - name a device (edgedraft devices list), or install what adds the provider",
        ),
        (
            ("--device", "snapdragon 8 gen 3", "--provider", "wasm"),
            "there are no published speeds of WebAssembly to plan by, got wasm not measured there - probe it there (",
        ),
        (("--provider", "gpu"), "--provider without --device is this machine's, which has "),
        (("--method", "balanced", "--dataset-path", "x.jsonl"), "--dataset-path and --tokenizer-path together"),
        (
            ("--method", "mbsu", "--device", "rpi5", "--explain"),
            "--method mbsu has no use for --device, --explain - leave it out, or take --method device",
        ),
        (
            ("--method", "mbsu", "--min-coverage", "0.5"),
            "--method mbsu has no use for --min-coverage - leave it out, or take --method device",
        ),
        (
            ("--method", "balanced", "--draft-length", "2", "--provider", "webgpu"),
            "--method balanced has no use for --draft-length, --provider - leave it out, or take --method device",
        ),
        (("--n-calls", "9"), "--method device has no use for --n-calls - leave it out, or take --method balanced"),
        (("--calibration", "nowhere"), "nowhere: no such file"),
        (("--draft-length", "17"), "draft length: expected 1..16, got 17"),
    ],
    ids=lambda value: value[0] if isinstance(value, tuple) else "",
)
def test_mistakes_get_one_clear_line(refused, options, message):
    assert message in refused(*options)


def test_a_target_that_would_not_run_on_the_provider_is_refused_before_it_is_converted(refused):
    options = ("--device", "snapdragon 8 gen 3", "--provider", "webgpu", "--cache", "nowhere")
    line = refused(*options, precisions=("int8-dynamic",))
    assert "target precision int8-dynamic: webgpu has no kernel for DynamicQuantizeMatMul" in line


def test_tables_beyond_a_phones_gpu_are_refused_before_they_are_converted(refused, monkeypatch, tmp_path):
    small = dataclasses.replace(PROVIDERS["webgpu"], largest_tensor_bytes=1024 * 128 * 4 - 1)
    monkeypatch.setattr(providers, "PROVIDERS", {**PROVIDERS, "webgpu": small})
    line = refused("--device", "snapdragon 8 gen 3", "--provider", "webgpu", "--cache", tmp_path)
    assert "target: the token table of tiny-target in fp32: webgpu binds at most 0 MiB as one tensor, got 0.5" in line
    assert not (tmp_path / "onnx").exists()


def test_a_calibration_of_another_tokenizer_is_refused(refused, pair_options, prompts_file, tmp_path, capsys):
    from edgedraft.calibration.counts_file import read_counts, write_counts
    from edgedraft.calibration.trace.file import read_trace, write_trace

    saved = tmp_path / "saved"
    options = [*pair_options, "--prompts", str(prompts_file), "--target-precision", "fp32"]
    assert main(["calibrate", *options, "--output", str(saved)]) == 0
    capsys.readouterr()
    write_trace(saved / "trace.safetensors", read_trace(saved / "trace.safetensors"), "someone else's")
    assert "the trace holds ids of the tokenizer someone else, its counts must too, got" in refused(
        "--calibration", saved
    )
    for file in saved.glob("*.safetensors"):
        if file.name != "trace.safetensors":
            counts = read_counts(file)
            import dataclasses

            other = dataclasses.replace(counts.provenance, tokenizer_fingerprint="someone else's")
            write_counts(file, dataclasses.replace(counts, provenance=other))
    assert "expected counts and trace of the pair's tokenizer" in refused("--calibration", saved)


def test_a_profile_with_impossible_figures_is_refused(refused, tmp_path):
    write_profile(tmp_path / "mine.toml", find_profile("rpi5"))
    text = (tmp_path / "mine.toml").read_text().replace("17.1", "17100.0")
    (tmp_path / "mine.toml").write_text(text)
    line = refused("--device", tmp_path / "mine.toml")
    assert f"{tmp_path / 'mine.toml'}: " in line
    assert "17100" in line


@pytest.mark.parametrize(
    ("option", "value", "message"),
    [
        ("--memory-budget", "much", "expected a size above 0 such as 4GB or 900MiB, got 'much'"),
        ("--memory-budget", "0GB", "expected a size above 0"),
        ("--min-coverage", "1.5", "expected 0..1, got 1.5"),
        ("--max-divergence", "-1", "expected 0 or more, got -1"),
    ],
)
def test_options_that_cannot_be_are_refused_by_the_parser(option, value, message, capsys):
    with pytest.raises(SystemExit) as stopped:
        main(["plan", option, value])
    assert stopped.value.code == 2
    assert message in capsys.readouterr().err


def test_read_profiles_are_those_that_were_written(tmp_path):
    profile = find_profile("apple-m2")
    write_profile(tmp_path / "again.toml", profile)
    assert read_profile(tmp_path / "again.toml") == profile


def test_the_scan_holds_every_whole_tile(plan):
    fixed = plan("--vocab-size", "130", "--device", "rpi5")["plan"]["draft_vocab_size"]
    assert fixed == 192
    assert fixed in tiled_sizes(1024)


def test_a_token_map_of_another_engine_is_drafted_instead_of_counted_tokens(plan, refused, tiny_opened, tmp_path):
    ends = list(tiny_opened.end_token_ids)
    kept = [*ends, *range(700, 828 - len(ends))]
    (tmp_path / "kept.txt").write_text("\n".join(map(str, kept)))
    found = plan("--vocab", tmp_path / "kept.txt", "--device", "rpi5")["plan"]
    assert found["draft_vocab_size"] == 128
    (tmp_path / "endless.txt").write_text("\n".join(map(str, range(700, 828))))
    assert "expected the ids that end a turn" in refused("--vocab", tmp_path / "endless.txt", "--device", "rpi5")
    (tmp_path / "twice.txt").write_text("\n".join(map(str, [*kept, kept[-1]])))
    assert "1 of 129 entries repeat an id" in refused("--vocab", tmp_path / "twice.txt", "--device", "rpi5")


def test_method_balanced_says_what_it_could_not_read(tiny_pair, tmp_path, capsys):
    turns = [{"role": "user", "content": "sort"}, {"role": "assistant", "content": "sort the list"}]
    data = tmp_path / "chats.jsonl"
    data.write_text("\n".join([json.dumps({"messages": turns}), *["{broken"] * 500]))
    command = ["plan", "--method", "balanced", "--dataset-path", str(data), "--tokenizer-path", str(tiny_pair.target)]
    command += ["--n-calls", "2", "--output-dir", str(tmp_path / "reports"), "--cache", str(tmp_path / "cache")]
    assert main(command) == 0
    shown = capsys.readouterr()
    assert f"{data}: " in shown.out
    assert " tokens of 1 samples, 1 turns" in shown.out
    assert "entries that cannot be read: 500" in shown.out
    assert f"{data}:2: not valid JSON" in shown.err
    assert main([*command, "--json"]) == 0
    told = json.loads(capsys.readouterr().out)
    assert (told["broken_entries"], told["report"]["counted"]) == (500, 1)
    assert told["tokens"] > 0
