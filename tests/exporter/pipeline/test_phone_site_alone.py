"""The site is made with edgedraft[serve] alone: without what exporting needs, and without the probe's onnx."""

import json
import subprocess
import sys

ABSENT = ("onnx_ir", "onnx", "torch", "transformers", "onnxruntime_genai", "optuna", "matplotlib")
SCRIPT = """
import json, pathlib, sys
for name in {absent!r}:
    sys.modules[name] = None  # neither found nor imported
from edgedraft.exporter.pipeline import phone_site
page, bundle, cache, folder = map(pathlib.Path, sys.argv[1:])
phone_site.page_folder = lambda: page
class Results:
    probe_taker = staticmethod(lambda probe: None)
    take_bench = None
notes = []
request = phone_site.PhoneRequest(bundle=bundle, cache=cache, quick=True)
made = phone_site.offered_site(request, folder, Results(), notes.append)
print(json.dumps([notes, sorted(made.files), json.loads(made.texts["session.json"])]))
"""


def made_without(absent, bundle, cache, tmp_path):
    (tmp_path / "page").mkdir()
    (tmp_path / "page" / "index.html").write_text("<!doctype html><title>edgedraft</title>")
    (tmp_path / "made").mkdir()
    places = map(str, (tmp_path / "page", bundle, cache, tmp_path / "made"))
    command = [sys.executable, "-c", SCRIPT.format(absent=absent), *places]
    run = subprocess.run(command, capture_output=True, text=True, check=False)
    assert run.returncode == 0, run.stderr
    return json.loads(run.stdout)


def test_with_the_packages_of_serve_there_is_all_but_the_full_drafter(tiny_bundle, tiny_pair, tmp_path):
    """[serve] brings onnx, for the probe."""
    absent = tuple(name for name in ABSENT if name != "onnx")
    notes, files, session = made_without(absent, tiny_bundle, tiny_pair.cache, tmp_path)
    needs = 'The page benches without the full-vocabulary drafter: it needs onnx-ir - pip install "edgedraft[export]"'
    assert notes == [needs]
    assert session["full_drafter"] is None
    assert len(session["probe"]["cases"]) == 5
    assert {"bundle/target/model.onnx", "bundle/drafter/model.onnx", "index.html"} <= set(files)


def test_without_onnx_there_is_no_probe_either(tiny_bundle, tiny_pair, tmp_path):
    notes, files, session = made_without(ABSENT, tiny_bundle, tiny_pair.cache, tmp_path)
    assert notes[0] == 'The page has no probe: it needs onnx - pip install "edgedraft[probe]"'
    assert len(notes) == 2
    assert session["probe"]["cases"] == []
    assert [name for name in files if name.startswith(("probe/", "full/"))] == []
