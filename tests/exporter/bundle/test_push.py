"""The law of pushing: the hub ends with the bundle's files byte for byte, in one commit, or one line says why not."""

import json
import shutil

import huggingface_hub
import pytest
from huggingface_hub import ModelCard, constants

from edgedraft.__main__ import main
from edgedraft.exporter.bundle.card import MeasuredSpeeds
from edgedraft.exporter.bundle.push import Repository, push_bundle
from edgedraft.runtime.base.errors import EdgedraftError
from edgedraft.runtime.base.intervals import Interval
from edgedraft.runtime.base.kernel_names import PairKernels
from edgedraft.runtime.bench import BenchReport, WayReport
from edgedraft.runtime.bundle.reading import read_bundle
from edgedraft.runtime.onnx.exact import Exactness
from tests.exporter.hub import REVISION, TOKEN, Stored, running_hub

NAME = "org/my-bundle"


@pytest.fixture
def hub(monkeypatch):
    """A hub of this machine, logged in to, without the client's second transfer protocol."""
    with running_hub() as hub:
        monkeypatch.setattr(constants, "ENDPOINT", hub.url)
        template = hub.url + "/{repo_id}/resolve/{revision}/{filename}"
        monkeypatch.setattr(constants, "HUGGINGFACE_CO_URL_TEMPLATE", template)
        monkeypatch.setattr(constants, "HF_HUB_DISABLE_XET", True)
        monkeypatch.setenv("HF_TOKEN", TOKEN)
        yield hub


@pytest.fixture
def bundle(tiny_bundle, tmp_path):
    """The tiny bundle in a folder of its own, beside a file that is nobody's business."""
    path = tmp_path / "bundle"
    shutil.copytree(tiny_bundle, path)
    (path / "my notes.txt").write_text("private")
    return path


@pytest.fixture
def measured():
    def way(speed: float, gain: float, proposed: int) -> WayReport:
        spread = Interval(level=0.5, value=speed, low=speed - 1, high=speed + 1)
        over = Interval(level=0.5, value=gain, low=gain - 0.1, high=gain + 0.1)
        counts = {"rounds": 9, "tokens": 18, "draft_tokens_proposed": proposed, "draft_tokens_evaluated": 12}
        times = {f"{name}_milliseconds": 1.0 for name in ("drafter", "target", "overhead", "prompt")}
        ratios = {f"mbsu_by_{name}": None for name in ("parameters", "bytes", "seconds")}
        rates = {"block_efficiency": 2.0, "acceptance_rate": 0.75, "draft_tokens_accepted": 9, "equal_texts": 4}
        return WayReport(tokens_per_second=spread, speed_up=over, **counts, **times, **ratios, **rates)

    ways = {"target alone": way(20.0, 1.0, 0), "trimmed drafter": way(31.0, 1.55, 27)}
    report = BenchReport(prompts=4, max_new_tokens=32, ways=ways)
    return MeasuredSpeeds(
        machine="a laptop, 8 cores",
        threads=8,
        onnxruntime="1.99",
        report=report,
        kernels=PairKernels(target="avx2", drafter="avx2"),
    )


def content_of(folder) -> dict[str, bytes]:
    return {file.relative_to(folder).as_posix(): file.read_bytes() for file in folder.rglob("*") if file.is_file()}


def without(bundle, name: str) -> None:
    """Take a file out of the bundle, and out of what it promises."""
    manifest = json.loads((bundle / "edgedraft.json").read_text())
    manifest["files"].pop(name)
    (bundle / "edgedraft.json").write_text(json.dumps(manifest))
    (bundle / name).unlink()


def refusal(bundle, repository: Repository | None = None) -> str:
    before = content_of(bundle)
    with pytest.raises(EdgedraftError) as error:
        push_bundle(bundle, repository or Repository(name=NAME))
    assert content_of(bundle) == before
    return str(error.value)


# --- what arrives ----------------------------------------------------------------------------------------------------


def test_the_hub_ends_with_the_bundles_own_files_byte_for_byte(hub, bundle):
    before, steps = content_of(bundle), []
    there = push_bundle(bundle, Repository(name=NAME), progress=lambda *step: steps.append(step))
    stored = hub.repositories[NAME]
    wanted = {name: content for name, content in before.items() if name != "my notes.txt"}
    assert {name: content for name, content in stored.files.items() if name != ".gitattributes"} == wanted
    assert set(wanted) == {*read_bundle(bundle).manifest.files, "edgedraft.json"}
    assert (there.url, there.commit) == (f"{hub.url}/{NAME}", REVISION)
    assert (there.files, there.bytes) == (len(wanted), sum(map(len, wanted.values())))
    assert content_of(bundle) == before
    assert not stored.private
    assert len(stored.commits) == 1
    assert stored.commits[0][0] == ("header", "tiny-target with tiny-drafter, by edgedraft")
    assert steps == [(f"pushing to {NAME}", done, len(wanted)) for done in range(len(wanted) + 1)]


def test_what_was_pushed_is_a_bundle_again(hub, bundle, tmp_path):
    push_bundle(bundle, Repository(name=NAME))
    again = huggingface_hub.snapshot_download(NAME, local_dir=tmp_path / "again", cache_dir=tmp_path / "cache")
    assert read_bundle(tmp_path / "again").manifest == read_bundle(bundle).manifest
    assert again == str((tmp_path / "again").resolve())


def test_a_private_repository_is_made_private(hub, bundle):
    push_bundle(bundle, Repository(name=NAME, private=True))
    assert hub.repositories[NAME].private


def test_pushing_again_sends_no_large_file_twice(hub, bundle):
    push_bundle(bundle, Repository(name=NAME))
    sent = hub.paths("PUT")
    assert len(sent) == len(set(sent)) >= 4
    push_bundle(bundle, Repository(name=NAME))
    assert hub.paths("PUT") == sent


def test_what_an_earlier_bundle_left_goes_and_the_users_own_files_stay(hub, bundle):
    push_bundle(bundle, Repository(name=NAME))
    stored = hub.repositories[NAME]
    stored.files |= {"drafter/model_1.onnx.data": b"old", "LICENSE": b"mine", "drawing.png": b"mine"}
    without(bundle, "chat_template.jinja")
    push_bundle(bundle, Repository(name=NAME))
    wanted = {*read_bundle(bundle).manifest.files, "edgedraft.json"}
    assert set(stored.files) == {*wanted, ".gitattributes", "LICENSE", "drawing.png"}
    gone = [path for key, path in stored.commits[1] if key == "deletedFile"]
    assert gone == ["chat_template.jinja", "drafter/model_1.onnx.data"]


def test_measured_speeds_stand_on_the_card_and_its_sum_in_the_manifest(hub, bundle, measured, tmp_path):
    before = content_of(bundle)
    push_bundle(bundle, Repository(name=NAME), measured)
    assert content_of(bundle) == before
    files = hub.repositories[NAME].files
    text = files["README.md"].decode()
    rows = [" ".join(line.split()) for line in text.splitlines()]
    assert "| target alone | 20.0 [19.0–21.0] | 1.00 [0.90–1.10] | 2.00 | – | 4 of 4 |" in rows
    assert "| trimmed drafter | 31.0 [30.0–32.0] | 1.55 [1.45–1.65] | 2.00 | 75.0% | 4 of 4 |" in rows
    assert "on a laptop, 8 cores, 8 threads, ONNX Runtime 1.99, avx2 kernels." in text
    assert "predictions" not in text
    changed = {name for name, content in files.items() if content != before.get(name)} - {".gitattributes"}
    assert changed == {"README.md", "edgedraft.json"}
    huggingface_hub.snapshot_download(NAME, local_dir=tmp_path / "again", cache_dir=tmp_path / "cache")
    read_bundle(tmp_path / "again")


def test_the_card_that_is_pushed_has_metadata_that_the_hub_reads(hub, bundle):
    push_bundle(bundle, Repository(name=NAME))
    data = ModelCard(hub.repositories[NAME].files["README.md"].decode()).data
    assert data.pipeline_tag == "text-generation"
    assert "/api/validate-yaml" in hub.paths("POST")


# --- what is refused -------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    "name", ["bundle", "a/b/c", "org/", "/name", "org/my bundle", "org/a--b", "-org/a", "o/" + "x" * 96]
)
def test_a_malformed_name_is_refused(name):
    with pytest.raises(EdgedraftError) as error:
        Repository(name=name)
    rule = "repository: expected ORG/NAME of letters, digits, '-', '_' and '.', 96 characters at most"
    assert str(error.value) == f"{rule}, got {name!r}"


def test_without_a_token_nothing_is_asked(hub, bundle, monkeypatch, tmp_path):
    monkeypatch.delenv("HF_TOKEN")
    monkeypatch.setattr(constants, "HF_TOKEN_PATH", str(tmp_path / "no token"))
    assert refusal(bundle) == (
        "pushing needs a Hugging Face token, and there is none"
        " - log in with a token that may write: hf auth login, or HF_TOKEN"
    )
    assert hub.asked == []


def test_a_token_that_is_not_valid(hub, bundle, monkeypatch):
    monkeypatch.setenv("HF_TOKEN", "hf_other")
    assert refusal(bundle) == (
        f"{NAME}: the hub refused, got 401 Invalid username or password."
        " - log in with a token that is valid: hf auth login, or HF_TOKEN"
    )


@pytest.mark.parametrize(
    ("request_refused", "status", "remedy"),
    [
        (("POST", "/api/repos/create"), 403, "use a token that may write there, or choose a name of your own"),
        (
            ("POST", f"/api/models/{NAME}/preupload"),
            403,
            "use a token that may write there, or choose a name of your own",
        ),
        (("POST", "/api/repos/create"), 404, "choose an organisation that exists and that your token may write to"),
        (
            ("POST", f"/api/models/{NAME}/commit"),
            500,
            "check the network and push again; large files that arrived are not sent twice",
        ),
    ],
)
def test_what_the_hub_refuses_is_one_line(hub, bundle, request_refused, status, remedy):
    hub.refuse[request_refused] = status
    assert refusal(bundle) == f"{NAME}: the hub refused, got {status} said the hub - {remedy}"
    assert all(stored.commits == [] for stored in hub.repositories.values())


def test_a_network_that_is_down(hub, bundle, monkeypatch):
    monkeypatch.setattr(constants, "ENDPOINT", "http://127.0.0.1:9")
    told = refusal(bundle)
    assert told.startswith(f"{NAME}: the hub did not take the bundle, got ")
    assert told.endswith(" - check the network and push again; large files that arrived are not sent twice")
    assert "\n" not in told


def test_a_card_that_the_hub_refuses_is_refused_before_anything_is_sent(hub, bundle):
    hub.refuse["POST", "/api/validate-yaml"] = 400
    assert refusal(bundle).startswith(f"{NAME}: the hub did not take the bundle, got ")
    assert hub.asked == [("POST", "/api/validate-yaml")]


def test_a_bundle_without_a_card_gets_one(hub, bundle):
    without(bundle, "README.md")
    push_bundle(bundle, Repository(name=NAME))
    assert hub.repositories[NAME].files["README.md"].startswith(b"---\n")
    assert not (bundle / "README.md").exists()


def test_another_repository_is_never_written_over(hub, bundle):
    model = {"README.md": b"a model", "model.safetensors": b"weights"}
    hub.repositories[NAME] = Stored(files=dict(model))
    assert refusal(bundle) == (
        f"{NAME}: holds something other than a bundle, got model.safetensors - choose another name"
    )
    assert hub.repositories[NAME].files == model


def test_a_public_repository_does_not_get_what_should_be_private(hub, bundle):
    hub.repositories[NAME] = Stored()
    assert refusal(bundle, Repository(name=NAME, private=True)) == (
        f"{NAME}: exists and is public, but --private was asked for"
        " - make it private on the hub, or choose another name"
    )
    assert hub.repositories[NAME].commits == []


def test_a_damaged_bundle_is_not_pushed(hub, bundle):
    with (bundle / "target" / "model.onnx.data").open("r+b") as file:
        file.write(b"\xff\xff\xff\xff")
    assert refusal(bundle).startswith(f"{bundle}/target/model.onnx.data: SHA-256: expected ")
    assert hub.asked == []


def test_a_file_that_did_not_arrive_is_told(hub, bundle):
    hub.ignored = {"tokenizer.json"}
    entry = read_bundle(bundle).manifest.files["tokenizer.json"]
    assert refusal(bundle) == (
        f"{NAME}: tokenizer.json: expected {entry.bytes} bytes with SHA-256 {entry.sha256}, got no such file there"
        " - see whether its .gitignore names the file"
    )


def test_a_file_that_arrived_otherwise_is_told(hub, bundle):
    hub.broken = {"target/model.onnx.data"}
    told = refusal(bundle)
    entry = read_bundle(bundle).manifest.files["target/model.onnx.data"]
    start = f"{NAME}: target/model.onnx.data: expected {entry.bytes} bytes with SHA-256 {entry.sha256}"
    assert told.startswith(f"{start}, got {entry.bytes - 1} with ")


# --- the commands ----------------------------------------------------------------------------------------------------


def test_push_with_a_bench_of_the_bundle(hub, bundle, tmp_path, capsys):
    assert main(["bench", str(bundle), "-n", "1", "--max-new-tokens", "6", "--threads", "2", "--json"]) == 0
    bench = tmp_path / "bench.json"
    bench.write_text(capsys.readouterr().out)
    assert main(["push", str(bundle), NAME, "--bench", str(bench), "--private", "--json"]) == 0
    told = json.loads(capsys.readouterr().out)
    assert told["url"] == f"{hub.url}/{NAME}"
    assert hub.repositories[NAME].private
    assert "## Measured" in hub.repositories[NAME].files["README.md"].decode()


def test_a_bench_of_another_bundle_is_refused(hub, bundle, tmp_path, measured, capsys):
    from edgedraft.devices.machine import this_machine
    from edgedraft.exporter.pipeline.bench import Measurement
    from edgedraft.runtime.base.records import to_plain

    other = Measurement(
        machine=this_machine(),
        threads=2,
        onnxruntime="1",
        draft_vocab_size=64,
        draft_length=2,
        exactness=Exactness(exact=True),
        report=measured.report,
        trimmed_over_full=None,
        divergences={},
    )
    bench = tmp_path / "bench.json"
    bench.write_text(json.dumps(to_plain(other)))
    assert main(["push", str(bundle), NAME, "--bench", str(bench)]) == 2
    assert capsys.readouterr().err == (
        f"edgedraft: --bench {bench}: expected a bench of this bundle, whose draft vocabulary has 256 tokens, got 64"
        f" - run edgedraft bench {bundle}\n"
    )
    assert hub.asked == []


@pytest.fixture
def export(tiny_pair, tmp_path):
    prompts = tmp_path / "prompts.jsonl"
    prompts.write_text("\n".join(json.dumps({"id": str(i), "prompt": f"sort the list {i}"}) for i in range(4)))
    models = ["--target", str(tiny_pair.target), "--drafter", str(tiny_pair.drafter), "--target-precision", "fp32"]
    rest = ["--drafter-precision", "fp32", "--cache", str(tiny_pair.cache), "--prompts", str(prompts)]
    return ["export", str(tmp_path / "out"), *models, *rest, "--max-new-tokens", "8", "--threads", "2"]


def test_export_pushes_what_it_wrote(hub, export, tmp_path, capsys):
    assert main([*export, "--push-to", NAME, "--json"]) == 0
    told = json.loads(capsys.readouterr().out)
    assert told["pushed"]["url"] == f"{hub.url}/{NAME}"
    assert hub.repositories[NAME].files["edgedraft.json"] == (tmp_path / "out" / "edgedraft.json").read_bytes()


@pytest.mark.parametrize(
    ("options", "line"),
    [
        (["--private"], "--private: expected --push-to beside it"),
        (
            ["--push-to", "name"],
            "repository: expected ORG/NAME of letters, digits, '-', '_' and '.', 96 characters at most, got 'name'",
        ),
    ],
)
def test_export_refuses_a_bad_destination_before_any_work(hub, export, tmp_path, capsys, options, line):
    assert main([*export, *options]) == 2
    assert capsys.readouterr().err == f"edgedraft: {line}\n"
    assert not (tmp_path / "out").exists()
