"""A profile's file gives back the profile that was written, and a bad file is told in one line with its key."""

import dataclasses
import sys
import tomllib

import pytest

from edgedraft.devices.profile import (
    Bandwidth,
    Bandwidths,
    DeviceProfile,
    Fact,
    Memory,
    Probe,
    ProbedBandwidth,
    ProbedOverhead,
    ProbedStep,
)
from edgedraft.devices.profile_file import read_profile, write_profile
from edgedraft.runtime.base.errors import EdgedraftError, MissingExtraError

TEXT = """
id = "some-laptop"
name = "Some Laptop"
kind = "laptop"
soc = "Some Chip"
cores = 4

[memory]
kind = "LPDDR5"
data_rate_megatransfers = 6400
bus_bits = 128

[bandwidth.peak]
gigabytes_per_second = 102.4
certainty = "derived"
source = "6400 x 128 / 8"

[bandwidth.cpu]
gigabytes_per_second = 80
certainty = "measured"
source = "STREAM"
"""


def profile(**changed) -> DeviceProfile:
    plain = DeviceProfile(
        id="some-laptop",
        name="Some Laptop",
        kind="laptop",
        soc="Some Chip",
        memory=Memory(kind="LPDDR5", data_rate_megatransfers=6400.0, bus_bits=128),
        bandwidth=Bandwidths(
            peak=Bandwidth(gigabytes_per_second=102.4, certainty="derived", source="6400 x 128 / 8"),
            cpu=Bandwidth(gigabytes_per_second=80.0, certainty="measured", source="STREAM"),
        ),
        cores=4,
    )
    return dataclasses.replace(plain, **changed)


def probe(count: int) -> Probe:
    steps = tuple(
        ProbedStep(
            provider="cpu",
            precision=("int4", "fp32")[i % 2],
            threads=2,
            width=2048,
            layers=8,
            weight_bytes=10**8 + i,
            rows=1 + i % 16,
            seconds=0.01 + i / 3000,
            seconds_low=0.009,
            seconds_high=1.0,
        )
        for i in range(count)
    )
    return Probe(
        date="2026-11-22",
        system='"quoted" é\nsystem',
        onnxruntime="1.31.0",
        noise=0.1 / 3,
        trusted=False,
        steps=steps,
        bandwidths=tuple(ProbedBandwidth(threads=n, gigabytes_per_second=n / 3, low=0.1, high=9.0) for n in (1, 2, 4)),
        overheads=(ProbedOverhead(provider="cpu", seconds=1e-5, seconds_low=9e-6, seconds_high=2e-5),),
        skipped=("cuda: no device",),
    )


def written(path, text: str):
    path.write_text(text, encoding="utf-8")
    return path


def refusal(path) -> str:
    with pytest.raises(EdgedraftError) as error:
        read_profile(path)
    assert "\n" not in str(error.value)
    return str(error.value)


def test_a_file_written_by_hand_is_read(tmp_path):
    assert read_profile(written(tmp_path / "a.toml", TEXT)) == profile()


@pytest.mark.parametrize(
    "changed",
    [
        {},
        {"cores": None},
        {"aliases": ("some", "the other's"), "notes": 'two\nlines, "quoted"'},
        {"memory": Memory(kind="unknown", gigabytes=(7.6,)), "gpu": Fact(value="8", certainty="estimate", source="é")},
        {"probe": probe(0)},
        {"probe": probe(1)},
        {"probe": probe(200)},
    ],
)
def test_what_is_written_is_read_back(tmp_path, changed):
    whole = profile(**changed)
    write_profile(tmp_path / "a.toml", whole)
    assert read_profile(tmp_path / "a.toml") == whole


def test_what_was_not_told_is_left_out(tmp_path):
    write_profile(tmp_path / "a.toml", profile(cores=None))
    found = tomllib.loads((tmp_path / "a.toml").read_text())
    assert sorted(found) == ["bandwidth", "id", "kind", "memory", "name", "soc"]
    assert sorted(found["bandwidth"]) == ["cpu", "peak"]


def test_a_probe_takes_a_line_a_step(tmp_path):
    write_profile(tmp_path / "none.toml", profile(probe=probe(1)))
    write_profile(tmp_path / "many.toml", profile(probe=probe(201)))
    lines = [len((tmp_path / name).read_text().splitlines()) for name in ("none.toml", "many.toml")]
    assert lines[1] - lines[0] == 200


def test_a_file_is_replaced_whole_or_not_at_all(tmp_path):
    path = tmp_path / "a.toml"
    write_profile(path, profile())
    before = path.read_bytes()
    with pytest.raises(TypeError):
        write_profile(path, dataclasses.replace(profile(), notes=b"no text"))
    assert path.read_bytes() == before
    assert [file.name for file in tmp_path.iterdir()] == ["a.toml"]


def test_writing_needs_its_extra(tmp_path, monkeypatch):
    monkeypatch.setitem(sys.modules, "tomli_w", None)
    with pytest.raises(MissingExtraError) as error:
        write_profile(tmp_path / "a.toml", profile())
    assert str(error.value) == 'tomli_w is not installed - pip install "edgedraft[probe]"'
    assert list(tmp_path.iterdir()) == []


@pytest.mark.parametrize(
    ("old", "new", "message"),
    [
        ('"laptop"', '"toaster"', "kind: expected one of laptop, board, phone, got toaster"),
        ("cores = 4", "cores = 0", "cores: expected 1 or more, got 0"),
        ("cores = 4", "cores = true", "cores: expected int, got True"),
        ("cores = 4", "speed = 4", "unknown key, got speed"),
        ('soc = "Some Chip"\n', "", "missing key soc"),
        ("[bandwidth.peak]", "[bandwidth.best]", "bandwidth: unknown key, got best"),
        ("102.4", '"fast"', "bandwidth: peak: gigabytes_per_second: expected float, got 'fast'"),
        ("102.4", "0", "bandwidth: peak: gigabytes_per_second: expected 0.01..10000, got 0.0"),
        ("102.4", "1e9", "bandwidth: peak: gigabytes_per_second: expected 0.01..10000, got 1000000000.0"),
        ("102.4", "nan", "bandwidth: peak: gigabytes_per_second: expected a finite number, got nan"),
        ("= 80", "= 110", "bandwidth: cpu: gigabytes_per_second: expected at most the peak, 102.4, got 110.0"),
        (
            "102.4",
            "96",
            "bandwidth: peak: gigabytes_per_second: expected 102.4 within 5%, for 6400 megatransfers a second over "
            "128 bits, got 96.0 - correct the peak, memory.data_rate_megatransfers or memory.bus_bits",
        ),
        ('"STREAM"', '""', "bandwidth: cpu: source: expected where the figure comes from, got ''"),
        (
            '"measured"',
            '"sure"',
            "bandwidth: cpu: certainty: expected one of measured, verified, derived, unverified, estimate, conflict, "
            "got sure",
        ),
    ],
)
def test_a_bad_file_is_told_in_one_line_with_its_key(tmp_path, old, new, message):
    assert TEXT.count(old) == 1
    path = written(tmp_path / "a.toml", TEXT.replace(old, new))
    assert refusal(path) == f"{path}: {message}"


def test_what_is_not_toml_is_told(tmp_path):
    path = written(tmp_path / "a.toml", "id = ")
    assert refusal(path) == f"{path}: not valid TOML, got Invalid value (at end of document)"
    path.write_bytes(b'id = "\xff"')
    assert refusal(path).startswith(f"{path}: not valid TOML, got 'utf-8' codec can't decode byte 0xff in position 6")


def test_a_file_that_cannot_be_read_is_told(tmp_path):
    assert refusal(tmp_path / "none.toml") == f"{tmp_path}/none.toml: no such file"
    assert refusal(tmp_path) == f"{tmp_path}: expected a plain file, got a folder"
