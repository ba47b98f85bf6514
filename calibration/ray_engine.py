"""The same work on Ray: batches as rows of a Ray data set, each worked off wherever the cluster has room.

A cluster's machines need this package and, where a data set is a file, that file under the same path. Nothing else of
the driver's disk is needed: tokenizer and template travel with the work, checkpoints are written by the driver.
"""

import contextlib
import logging
import os
import pickle
import zlib
from collections.abc import Callable, Generator, Iterator, Sequence
from dataclasses import dataclass
from typing import Any, TypeVar

from edgedraft.calibration.answers.endpoint import EndpointAnswering
from edgedraft.calibration.answers.sampling import Answering, Question, SampledAnswer
from edgedraft.runtime.base.errors import EdgedraftError, MissingExtraError

Item = TypeVar("Item")
Result = TypeVar("Result")

_FASTEST = 1
_QUESTIONS = 64


@dataclass(frozen=True, kw_only=True, slots=True)
class RayOptions:
    """The cluster to work on. One that is connected already is used as it is.

    Otherwise the one at ``address`` is, or a local one of ``cores`` cores (all when None) that ends with the work.
    """

    address: str | None = None
    cores: int | None = None


def map_on_ray(
    work: Callable[[Sequence[Item]], Result], batches: Sequence[Sequence[Item]], options: RayOptions
) -> Iterator[tuple[int, Result]]:
    """Yield the place of every batch and what ``work`` made of it, in whatever order the results come.

    ``work``, items and results are pickled. An `EdgedraftError` of a worker is raised here; a worker that dies is
    replaced by Ray. Raises `MissingExtraError` without Ray.
    """
    if not batches:
        return
    ray = _ray()
    rows = [{"place": place, "items": _packed(list(batch))} for place, batch in enumerate(batches)]
    with _cluster(ray, options):
        _quieten(ray)
        dataset = ray.data.from_items(rows, override_num_blocks=len(rows))
        done = dataset.map(_worked, fn_kwargs={"work": ray.cloudpickle.dumps(work)}, num_cpus=1)
        for row in done.iter_rows():
            result = _unpacked(row["result"])
            if isinstance(result, EdgedraftError):
                raise result
            yield int(row["place"]), result


def answering_on_ray(answering: EndpointAnswering, options: RayOptions) -> Answering:
    """Return an `Answering` by the cluster's workers; each keeps ``answering``'s number of requests open.

    Questions travel in batches, and a batch's answers come together: what a stopped run loses is at most one a worker.
    """

    def answered(questions: Sequence[Question]) -> Generator[SampledAnswer, None, None]:
        batches = [questions[start : start + _QUESTIONS] for start in range(0, len(questions), _QUESTIONS)]
        for _, answers in map_on_ray(lambda asked: list(answering(asked)), batches, options):
            yield from answers

    return answered


def _worked(row: dict[str, Any], work: bytes) -> dict[str, Any]:
    """Work off one batch on a worker; errors that are the user's to mend come back as results."""
    try:
        result: object = pickle.loads(work)(_unpacked(row["items"]))
    except EdgedraftError as error:
        result = EdgedraftError(str(error))
    return {"place": row["place"], "result": _packed(result)}


def _packed(value: object) -> bytes:
    return zlib.compress(pickle.dumps(value), _FASTEST)


def _unpacked(data: bytes) -> Any:
    return pickle.loads(zlib.decompress(data))


@contextlib.contextmanager
def _cluster(ray: Any, options: RayOptions) -> Iterator[None]:
    """Connect until the end of the block, unless there was a connection before."""
    if ray.is_initialized():
        yield
        return
    place = {"address": options.address} if options.address else {"num_cpus": options.cores, "include_dashboard": False}
    os.environ.setdefault("RAY_USAGE_STATS_ENABLED", "0")
    ray.init(**place, logging_level=logging.ERROR, log_to_driver=False, configure_logging=True)
    try:
        yield
    finally:
        ray.shutdown()


def _quieten(ray: Any) -> None:
    """No bars and no lines from Ray: the caller shows progress."""
    ray.data.DataContext.get_current().enable_progress_bars = False
    logging.getLogger("ray.data").setLevel(logging.ERROR)


def _ray() -> Any:
    try:
        import ray
        import ray.data
    except ImportError as error:
        raise MissingExtraError("ray[data]", "ray") from error
    return ray
