"""The law of published speeds: every shipped row is whole and has a source; a broken row is named by line and field."""

import pytest

from edgedraft.devices.priors.published import SHIPPED, devices_of, read_speeds, shipped_speeds
from edgedraft.runtime.base.errors import EdgedraftError

HEADER, FIRST = SHIPPED.read_text(encoding="utf-8").splitlines()[:2]
EXAMPLE = "m1,gpu,apple,current,MLX,Tiny,4-bit,4-bit,1000,500,20,10,,100,80,yes,yes,file,web,"
COLUMNS = HEADER.split(",")


def broken(tmp_path, **changes):
    values = dict(
        zip(
            COLUMNS,
            EXAMPLE.split(","),
            strict=True,
        )
    )
    path = tmp_path / "speeds.csv"
    path.write_text(HEADER + "\n" + ",".join((values | changes)[name] for name in COLUMNS) + "\n", encoding="utf-8")
    return path


def test_every_shipped_row_has_a_source_and_a_strict_one_its_bytes():
    speeds = shipped_speeds()
    assert all(speed.source for speed in speeds)
    assert all(speed.bytes_known for speed in speeds if speed.strict)
    assert 1 < len(devices_of(speeds)) < len(speeds)


def test_a_device_has_one_peak():
    peaks = {}
    for speed in shipped_speeds():
        assert peaks.setdefault(speed.device, speed.peak_gigabytes_per_second) == speed.peak_gigabytes_per_second


def test_no_strict_row_streams_faster_than_its_memory():
    for speed in shipped_speeds():
        if speed.strict:
            assert speed.streamed_bytes * speed.tokens_per_second < speed.peak_gigabytes_per_second * 1e9


def test_fields_become_numbers_and_blanks_none(tmp_path):
    (speed,) = read_speeds(broken(tmp_path))
    assert (speed.threads, speed.reached_gigabytes_per_second, speed.streamed_bytes) == (None, 80.0, 520)
    assert (speed.seconds, speed.strict, speed.name) == (0.1, True, "GPU apple current")
    (cpu,) = read_speeds(broken(tmp_path, backend="cpu", threads="4", software="t-mac"))
    assert (cpu.threads, cpu.name) == (4, "CPU t-mac")


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"tokens_per_second": "fast"}, "speeds.csv: line 2: tokens_per_second: expected a number, got 'fast'"),
        ({"strict": "maybe"}, "speeds.csv: line 2: strict: expected yes or no, got maybe"),
        ({"tokens_per_second": "0"}, "speeds.csv: line 2: tokens_per_second: expected above 0, got 0.0"),
        ({"tokens_per_second": "nan"}, "speeds.csv: line 2: tokens_per_second: expected a finite number, got nan"),
        ({"backend": "tpu"}, "speeds.csv: line 2: backend: expected one of cpu, gpu, npu, got tpu"),
        ({"threads": "4"}, "speeds.csv: line 2: threads: expected for cpu alone, got 4"),
        (
            {"reached_gigabytes_per_second": "101"},
            "speeds.csv: line 2: reached_gigabytes_per_second: expected above 0 and at most the peak, got 101.0",
        ),
        ({"source": ""}, "speeds.csv: line 2: source: expected a place where the speed was published"),
    ],
)
def test_a_broken_row_is_named_by_line_and_field(tmp_path, changes, message):
    with pytest.raises(EdgedraftError) as error:
        read_speeds(broken(tmp_path, **changes))
    assert str(error.value) == message


def test_a_row_with_a_field_too_few_is_refused(tmp_path):
    path = tmp_path / "speeds.csv"
    path.write_text(HEADER + "\n" + FIRST.rsplit(",", 1)[0] + "\n", encoding="utf-8")
    with pytest.raises(EdgedraftError) as error:
        read_speeds(path)
    assert str(error.value) == "speeds.csv: line 2: expected as many fields as the first line has"


def test_an_empty_table_is_refused(tmp_path):
    path = tmp_path / "speeds.csv"
    path.write_text(HEADER + "\n", encoding="utf-8")
    with pytest.raises(EdgedraftError) as error:
        read_speeds(path)
    assert str(error.value) == "speeds.csv: expected one row or more, got 0"
