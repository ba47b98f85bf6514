"""The law of checkpoints: a run killed at any moment and run again gives what a run never killed gives, to the bit."""

import io
import itertools
import json
import os
import signal
import subprocess
import sys
import textwrap

import pytest

from edgedraft.calibration.data.reading import ReadOptions, Shard
from edgedraft.calibration.text.checkpoint import Checkpoint, CheckpointState
from edgedraft.calibration.text.counting import CountingJob, SampleCounter, count_job
from edgedraft.runtime.base.errors import EdgedraftError
from edgedraft.runtime.base.records import to_plain

ENTRIES = 60

# Counts the file with a clock that kills the process when it is asked for the N-th time, or as soon as a file of the
# given name is about to be (or has been) put in its place.
KILLED = textwrap.dedent(
    """
    import itertools, os, pathlib, signal, sys
    from edgedraft.calibration.text.counting import Counting, CountingJob, count_job
    from edgedraft.runtime.text.codec import TextCodec

    folder, data, kept, moment = sys.argv[1:]
    times, (kind, number) = itertools.count(), moment.split(":")
    die = lambda: os.kill(os.getpid(), signal.SIGKILL)

    def clock():
        now = next(times)
        if kind == "clock" and now == int(number):
            die()
        return now * 4.0

    replace, seen = pathlib.Path.replace, itertools.count()

    def replacing(source, path):
        mine = kind in ("before", "after") and pathlib.Path(path).name == "done.json"
        chosen = mine and next(seen) == int(number)
        if chosen and kind == "before":
            die()
        replace(source, path)
        if chosen:
            die()

    pathlib.Path.replace = replacing
    codec = TextCodec(pathlib.Path(folder))
    end = codec.tokenizer.token_to_id("<|im_end|>")
    counting = Counting(codec=codec, end_token_ids=(end,), vocab_size=codec.tokenizer.get_vocab_size())
    count_job(CountingJob(counting=counting, reference=data), pathlib.Path(kept), clock)
    """
)


@pytest.fixture
def job(tmp_path, chat_codec, counting_of):
    """A file of conversations, two of its lines broken, one refused by the template."""
    path = tmp_path / "data.jsonl"
    lines = []
    for place in range(ENTRIES):
        turns = [
            {"role": "user", "content": "ask"},
            {"role": "assistant", "content": f"it's {place} " * (place % 7 + 1)},
        ]
        system = [{"role": "system", "content": "no"}] if place == 41 else []
        lines.append(json.dumps({"messages": [*system, *turns]}) if place not in (13, 50) else "{broken")
    path.write_text("\n".join(lines) + "\n", encoding="utf-8")
    return CountingJob(counting=counting_of(chat_codec("alternating"), ("<|im_end|>",)), reference=path)


def facts(result):
    counts = result.counts
    return (
        counts.by_group.tobytes(),
        counts.prompts_by_group.tobytes(),
        counts.provenance,
        result.report,
        to_plain(result.reading),
    )


def ticking(seconds=4.0):
    """A clock by which every third sample is due for a checkpoint."""
    times = itertools.count()
    return lambda: next(times) * seconds


class StoppedError(Exception):
    pass


def stopping(after):
    """Such a clock, and the run is stopped when it is asked for the ``after``-th time."""
    times = itertools.count()

    def clock():
        now = next(times)
        if now == after:
            raise StoppedError
        return now * 4.0

    return clock


# --- the law ---------------------------------------------------------------------------------------------------------


def test_three_kills_leave_the_same_counts(tmp_path, job):
    kept = tmp_path / "kept"
    arguments = [str(job.counting.codec.folder), str(job.reference), str(kept)]
    progress = []
    for moment in ("clock:20", "before:2", "after:3"):
        command = [sys.executable, "-c", KILLED, *arguments, moment]
        ended = subprocess.run(command, capture_output=True, text=True, check=False)
        assert ended.returncode == -signal.SIGKILL, ended.stderr
        state = Checkpoint(kept, job.facts).read()
        assert state is not None and not state.finished
        progress.append(state.next_number)
    assert progress == sorted(set(progress)) and progress[-1] < ENTRIES
    assert facts(count_job(job, kept)) == facts(count_job(job))


@pytest.mark.parametrize("after", [1, 5, 23, 40])
def test_a_run_stopped_again_and_again_is_a_run_never_stopped(tmp_path, job, after):
    for _ in range(3):
        try:
            count_job(job, tmp_path, stopping(after))
        except StoppedError:
            continue
    assert facts(count_job(job, tmp_path, ticking())) == facts(count_job(job))


def test_a_resumed_run_reads_on_where_it_stopped(tmp_path, job):
    with pytest.raises(StoppedError):
        count_job(job, tmp_path, stopping(30))
    state = Checkpoint(tmp_path, job.facts).read()
    assert state is not None and 1 < state.next_number <= ENTRIES
    lines = job.reference.read_text(encoding="utf-8").split("\n")
    file = job.reference.stat()
    lines[: state.next_number - 1] = ["0" * len(line) for line in lines[: state.next_number - 1]]
    job.reference.write_text("\n".join(lines), encoding="utf-8")
    os.utime(job.reference, ns=(file.st_atime_ns, file.st_mtime_ns))
    finished = count_job(job, tmp_path)
    assert finished.report.samples + finished.reading.broken == ENTRIES
    assert finished.reading.broken == 2, "entries counted before are not read again"


def test_a_finished_run_is_not_run_again(tmp_path, job):
    first = count_job(job, tmp_path)
    state = Checkpoint(tmp_path, job.facts).read()
    assert state is not None and state.finished
    again = count_job(job, tmp_path, clock=lambda: pytest.fail("nothing is to be counted"))
    assert facts(again) == facts(first)


# --- what belongs together -------------------------------------------------------------------------------------------


def test_another_file_model_or_option_begins_anew(tmp_path, job, chat_codec, counting_of):
    codec, ends = job.counting.codec, ("<|im_end|>",)
    others = [
        CountingJob(counting=counting_of(chat_codec("alternating"), ends), reference=job.reference),
        CountingJob(counting=counting_of(chat_codec("chatml"), ends), reference=job.reference),
        CountingJob(counting=counting_of(chat_codec("alternating", "gpt2"), ends), reference=job.reference),
        CountingJob(counting=counting_of(codec, ("</s>",)), reference=job.reference),
        CountingJob(counting=counting_of(codec, ends, vocab_size=1000), reference=job.reference),
        CountingJob(counting=counting_of(codec, ends, options={"domain": "law"}), reference=job.reference),
        CountingJob(counting=job.counting, reference=job.reference, reading=ReadOptions(strict=True)),
        CountingJob(counting=job.counting, reference=job.reference, reading=ReadOptions(shard=Shard(count=2))),
    ]
    folders = [Checkpoint(tmp_path, each.facts).folder for each in (job, *others)]
    assert folders[0] == folders[1], "the same template and tokenizer in another folder"
    assert len(set(folders)) == len(folders) - 1


def test_a_changed_file_begins_anew(tmp_path, job):
    before = job.facts
    with job.reference.open("a", encoding="utf-8") as file:
        file.write('{"text": "more"}\n')
    assert Checkpoint(tmp_path, job.facts).folder != Checkpoint(tmp_path, before).folder


def test_only_the_last_counts_are_kept(tmp_path, job):
    count_job(job, tmp_path, ticking())
    folder = Checkpoint(tmp_path, job.facts).folder
    assert len(list(folder.iterdir())) == 2


def test_what_is_read_is_what_was_written(tmp_path, job, conversation):
    counter = SampleCounter(job.counting)
    for number, sample in enumerate([conversation("ask", "one", system="no"), conversation("ask", "é")]):
        counter.add(number, sample)
    result = counter.result()
    checkpoint = Checkpoint(tmp_path, {"a": 1})
    assert checkpoint.read() is None
    checkpoint.write(CheckpointState(next_number=7, result=result))
    state = checkpoint.read()
    assert state is not None and (state.next_number, state.finished) == (7, False)
    assert facts(state.result) == facts(result)


@pytest.mark.parametrize("name", ["done.json", "counts-1.safetensors"])
@pytest.mark.parametrize(
    "damage", [lambda content: content[:-9], lambda content: content.replace(b"1", b"3"), lambda content: b""]
)
def test_a_damaged_checkpoint_is_none(tmp_path, job, name, damage):
    checkpoint = Checkpoint(tmp_path, {})
    checkpoint.write(CheckpointState(next_number=1, result=SampleCounter(job.counting).result()))
    assert checkpoint.read() is not None
    path = checkpoint.folder / name
    path.write_bytes(damage(path.read_bytes()))
    assert checkpoint.read() is None


def test_standard_input_leaves_no_checkpoint(tmp_path, job, monkeypatch):
    class Stdin:
        buffer = io.BytesIO(job.reference.read_bytes())

    monkeypatch.setattr(sys, "stdin", Stdin)
    kept = tmp_path / "kept"
    result = count_job(CountingJob(counting=job.counting, reference="-"), kept, ticking())
    assert result.counts.tokens == count_job(job).counts.tokens
    assert not kept.exists()


def test_data_that_gives_nothing_is_an_error_not_a_result(tmp_path, job):
    job.reference.write_text("{broken\n", encoding="utf-8")
    for kept in (None, tmp_path / "kept"):
        with pytest.raises(EdgedraftError, match="none of 1 entries can be read"):
            count_job(job, kept)
