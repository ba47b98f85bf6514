"""The law of the Ray engine: the same numbers to the bit as one process, whatever the shards and their order."""

import sys
from functools import partial
from types import SimpleNamespace

import pytest

from edgedraft.calibration import ray_engine
from edgedraft.calibration.answers.sampling import Question, SampledAnswer
from edgedraft.calibration.data.reading import ReadOptions
from edgedraft.calibration.prompts import Prompt
from edgedraft.calibration.ray_engine import RayOptions, answering_on_ray, map_on_ray
from edgedraft.calibration.text.counting import CountingJob, count_job
from edgedraft.calibration.text.shards import count_in_shards
from edgedraft.runtime.base.errors import EdgedraftError, MissingExtraError
from edgedraft.runtime.base.records import to_plain
from tests.needs import package

OPTIONS = RayOptions(cores=2)
SHARDS = 4
ON_RAY = partial(map_on_ray, options=OPTIONS)


@pytest.fixture(scope="module")
def cluster():
    """Two workers on this machine."""
    ray = package("ray", extra="ray")
    with ray_engine._cluster(ray, OPTIONS):
        yield ray


def test_ray_counts_what_one_process_counts(cluster, job, tmp_path, facts):
    whole = count_job(job)
    by_ray = count_in_shards(job, SHARDS, ON_RAY, tmp_path / "kept")
    assert facts(by_ray) == facts(whole)
    assert to_plain(by_ray.reading) == to_plain(whole.reading)
    assert cluster.is_initialized(), "a cluster that was there before stays"


def test_any_work_on_any_items_can_be_mapped(cluster):
    factor = 3
    batches = [[1, 2], [], [3], [4, 5, 6]]
    results = dict(map_on_ray(lambda items: [factor * item for item in items], batches, OPTIONS))
    assert results == {place: [factor * item for item in batch] for place, batch in enumerate(batches)}


def backwards(questions):
    """An `Answering`: every prompt the other way round, in the order of their ids."""
    for each in sorted(questions, key=lambda question: question.prompt.id):
        yield SampledAnswer(prompt_id=each.prompt.id, prompt_ids=each.prompt_ids, token_ids=each.prompt_ids[::-1])


def test_workers_ask_for_answers_as_one_process_does(cluster):
    prompts = [Prompt(id=f"{n}", split="rank", messages=({"role": "user", "content": "ask"},)) for n in range(150)]
    questions = [Question(prompt=prompt, prompt_ids=(n, n + 1)) for n, prompt in enumerate(prompts)]
    found = {each.prompt_id: each for each in answering_on_ray(backwards, OPTIONS)(questions)}
    assert found == {each.prompt_id: each for each in backwards(questions)}
    assert len(found) == 150, "more than two batches of questions"


def test_a_workers_error_is_the_users_line(cluster, job):
    job.reference.write_text("{broken\n", encoding="utf-8")
    strict = CountingJob(counting=job.counting, reference=job.reference, reading=ReadOptions(strict=True))
    with pytest.raises(EdgedraftError, match=r"data\.jsonl:1: not valid JSON"):
        count_in_shards(strict, 1, ON_RAY)


def test_without_ray_the_extra_is_named(monkeypatch):
    monkeypatch.setitem(sys.modules, "ray", None)
    with pytest.raises(MissingExtraError, match=r'ray\[data\] is not installed - pip install "edgedraft\[ray\]"'):
        list(map_on_ray(len, [[1]], OPTIONS))


def fake_ray(connected):
    calls = []
    ray = SimpleNamespace(
        is_initialized=lambda: connected,
        init=lambda **options: calls.append(options),
        shutdown=lambda: calls.append("shutdown"),
    )
    return ray, calls


def test_a_cluster_of_our_own_ends_with_the_work_even_when_it_fails():
    ray, calls = fake_ray(connected=False)
    with pytest.raises(ZeroDivisionError), ray_engine._cluster(ray, RayOptions(cores=3)):
        raise ZeroDivisionError
    assert calls[0]["num_cpus"] == 3 and calls[0]["include_dashboard"] is False
    assert calls[1:] == ["shutdown"]


def test_a_named_cluster_is_connected_to():
    ray, calls = fake_ray(connected=False)
    with ray_engine._cluster(ray, RayOptions(address="ray://head:10001")):
        pass
    assert calls[0]["address"] == "ray://head:10001" and "num_cpus" not in calls[0]


def test_a_connection_that_was_there_is_left_alone():
    ray, calls = fake_ray(connected=True)
    with ray_engine._cluster(ray, OPTIONS):
        pass
    assert calls == []
