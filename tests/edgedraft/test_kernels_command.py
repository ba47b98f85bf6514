"""edgedraft kernels: shows the library, what runs here, and what sessions use."""

import json

from edgedraft.__main__ import main
from edgedraft.commands.kernels import note_if_not_built
from edgedraft.console import Console
from tests.runtime.native.conftest import kernels, library  # noqa: F401

OWN_KERNELS = "edgedraft.runtime.native.library.own_kernels"


def test_the_library_and_its_kernels_are_shown(library, kernels, monkeypatch, capsys):  # noqa: F811
    monkeypatch.delenv("EDGEDRAFT_KERNELS", raising=False)
    assert main(["kernels", "--json"]) == 0
    state = json.loads(capsys.readouterr().out)
    assert (state["library"], state["kernels"]) == (str(library.path), library.kernels())
    assert state["chosen"] == (kernels[0] if kernels[0] != "portable" else "stock")
    assert main(["kernels"]) == 0
    assert f"library: {library.path}" in capsys.readouterr().out


def test_a_kernel_that_is_none_is_a_users_error(library, monkeypatch, capsys):  # noqa: F811
    monkeypatch.setenv("EDGEDRAFT_KERNELS", "fastest")
    assert main(["kernels"]) == 2
    assert "kernels: expected one of auto, stock," in capsys.readouterr().err


def test_a_measurement_without_them_says_so_once(monkeypatch, capsys):
    note_if_not_built(Console())
    monkeypatch.setattr("edgedraft.runtime.native.library.library_path", lambda: None)
    note_if_not_built(Console())
    assert capsys.readouterr().err.count("own kernels were not built") == 1


def test_an_installation_without_them_says_so(monkeypatch, capsys):
    monkeypatch.setattr(OWN_KERNELS, lambda: None)
    assert main(["kernels"]) == 0
    assert "Own kernels were not built" in capsys.readouterr().out
