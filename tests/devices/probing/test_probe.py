"""The probe takes turns until its time is up; its profile tells medians, what was skipped, and whether to trust it."""

import itertools
from contextlib import contextmanager
from types import SimpleNamespace

import numpy as np
import pytest

from edgedraft.devices.fitting import fit_probe
from edgedraft.devices.machine import Machine
from edgedraft.devices.probing import probe as probing
from edgedraft.devices.probing.cases import ProbeSettings, jobs, thread_counts
from edgedraft.devices.probing.probe import GRACE_SECONDS, probe_machine
from edgedraft.devices.probing.worker import READER, Job, OpenedGraph, TimingTurn
from edgedraft.devices.profile import BOARD, DeviceProfile
from edgedraft.runtime.base.errors import EdgedraftError
from edgedraft.runtime.base.records import from_plain, to_plain
from edgedraft.runtime.onnx.providers import onnxruntime_version

MACHINE = Machine(
    processor="AMD EPYC (test)", cores=3, memory_bytes=8 * 2**30, system="Linux x86_64", features=("avx2", "avx512f")
)
SETTINGS = ProbeSettings(
    seconds=20.0, precisions=("int4", "fp32"), rows=(1, 2, 4), rest_seconds=0.0, date="2026-11-22", kind=BOARD
)
LAYERS = {1024: 100, 2048: 25, 4096: 6, 8192: 1, 32: 1}
OVERHEAD, PRODUCT, GIGABYTES = 1e-4, 1e-5, {"int4": 20e9, "fp32": 40e9}


class Device:
    """A simulated device: workers whose passes follow the latency law, on a clock that they move."""

    def __init__(self, noise=lambda: 1.0, opening_seconds=0.5, fails=None, faster=None) -> None:
        self.now, self.noise, self.opening_seconds = 50.0, noise, opening_seconds
        self.fails, self.faster = fails or {}, faster or {}
        self.hired, self.ended, self.turns = [], [], []

    def clock(self) -> float:
        return self.now

    @contextmanager
    def hire(self, job: Job, seconds: float):
        self.hired.append((job, seconds))
        try:
            yield Worker(self, job)
        finally:
            self.ended.append(job)

    def pass_seconds(self, job: Job, spec, rows: int) -> float:
        if spec.precision == READER:
            return 10**8 / (job.threads * 20e9)
        if spec.width == 32:
            return OVERHEAD
        each = PRODUCT * LAYERS[spec.width] + 10**8 / GIGABYTES[spec.precision]
        each /= self.faster.get(job.kernels, 1.0)
        return OVERHEAD + each * (1 + 0.5 * (rows - 1))


class Worker:
    def __init__(self, device: Device, job: Job) -> None:
        self.device, self.job = device, job

    def opened(self):
        for spec in self.job.graphs:
            self.device.now += self.device.opening_seconds
            error = self.device.fails.get((self.job.provider, spec.precision, spec.width), "")
            facts = {"layers": LAYERS[spec.width], "weight_bytes": 10**8, "kernels": self.job.kernels}
            yield OpenedGraph(error=error) if error else OpenedGraph(**facts)

    def take(self, turn: TimingTurn):
        self.device.turns.append((self.job, turn))
        ends, taken = self.device.now + turn.seconds, []
        for request in turn.requests:
            if self.device.now >= ends:
                break
            one = self.device.pass_seconds(self.job, self.job.graphs[request.graph], request.rows)
            times = [one * self.device.noise() for _ in range(request.runs)]
            self.device.now += sum(times) + request.unmeasured * one
            taken.append(times)
        return taken


@pytest.fixture(autouse=True)
def one_machine(monkeypatch):
    monkeypatch.setattr(probing, "this_machine", lambda: MACHINE)
    monkeypatch.setattr(probing, "available_providers", lambda: {"cpu": "…", "azure": "…"})


def probed(device: Device, settings: ProbeSettings = SETTINGS, progress=lambda *facts: None) -> DeviceProfile:
    return probe_machine(settings, device.clock, progress, device.hire)


def test_a_device_that_follows_the_law_is_found_again():
    profile = probed(Device())
    model = fit_probe(profile.probe).of("int4", "cpu")
    assert model.overhead_seconds == pytest.approx(OVERHEAD + 130 * PRODUCT, rel=1e-6)
    assert model.seconds_per_byte == pytest.approx(1 / 20e9)
    assert model.verification_cost(4) == pytest.approx(2.5, rel=0.01)
    assert profile.probe.trusted
    assert (profile.probe.noise, profile.probe.drift) == pytest.approx((0, 0), abs=1e-9)


def test_every_step_is_told_with_what_was_timed():
    steps = probed(Device()).probe.steps
    told = {(step.precision, step.width, step.rows): step for step in steps}
    assert len(told) == len(steps) == 2 * 2 * 3
    step = told["fp32", 2048, 2]
    assert (step.provider, step.threads, step.layers, step.weight_bytes) == ("cpu", 3, 25, 10**8)
    assert step.seconds == pytest.approx(OVERHEAD + 1.5 * (25 * PRODUCT + 10**8 / 40e9))


def undecided(monkeypatch, *names):
    monkeypatch.setattr(probing, "own_kernels", lambda: SimpleNamespace(undecided=lambda: names))


def test_kernels_that_nobody_measured_are_timed_beside_stock_and_the_faster_are_taken(monkeypatch):
    undecided(monkeypatch, "stock", "avx2")
    device = Device(faster={"avx2": 1.25})
    profile = probed(device)
    jobs = [job for job, _ in device.hired][:2]
    assert [job.kernels for job in jobs] == ["stock", "avx2"]
    assert {spec.precision for spec in jobs[1].graphs if spec.width > 32} == {"int4"}, "avx2 computes no fp32 product"
    timed = {(step.precision, step.kernels) for step in profile.probe.steps}
    assert timed == {("int4", "stock"), ("fp32", "stock"), ("int4", "avx2")}
    assert (len(profile.probe.overheads), fit_probe(profile.probe).of("int4", "cpu").kernels) == (1, "avx2")


def test_stock_kernels_stay_where_ours_lose(monkeypatch):
    undecided(monkeypatch, "stock", "avx2")
    model = fit_probe(probed(Device(faster={"avx2": 0.9})).probe).of("int4", "cpu")
    assert (model.kernels, model.seconds_per_byte) == ("stock", pytest.approx(1 / 20e9))


def test_a_cpu_whose_kernels_are_known_is_timed_once(monkeypatch):
    undecided(monkeypatch)
    device = Device()
    probed(device)
    assert [job.kernels for job, _ in device.hired] == ["auto"] * len(device.hired)


def test_medians_and_quartiles_are_over_rounds():
    device, factors = Device(), np.random.default_rng(0).lognormal(0, 0.2, 1000)
    device.noise = lambda: factors[(len(device.turns) - 1) // 4]
    noisy, quiet = probed(device).probe, probed(Device()).probe
    rounds = [np.quantile(factors[: noisy.rounds + more], (0.25, 0.5, 0.75)) for more in (0, 1)]
    for step, law in zip(noisy.steps, quiet.steps, strict=True):
        found = np.array([step.seconds_low, step.seconds, step.seconds_high]) / law.seconds
        assert any(np.allclose(found, quantiles) for quantiles in rounds)


def test_a_noisy_machine_is_not_trusted_and_the_notes_say_so():
    rng = np.random.default_rng(0)
    profile = probed(Device(noise=lambda: rng.lognormal(0, 0.5)))
    assert not profile.probe.trusted
    assert 0.4 < profile.probe.noise < 1.0
    assert profile.notes.startswith("Do not trust these figures (a spread above 35%")


def test_the_medians_of_a_busy_machine_count_and_the_notes_say_how_well_they_are_known():
    rng = np.random.default_rng(0)
    profile = probed(Device(noise=lambda: rng.lognormal(0, 0.1)))
    assert profile.probe.trusted
    assert 0.1 < profile.probe.noise < 0.2
    assert profile.notes.startswith("The machine was busy, but the medians are known within ")


def test_a_machine_that_slows_down_is_not_trusted():
    device = Device()
    device.noise = lambda: 1 + (device.now - 50) / 40
    profile = probed(device)
    assert not profile.probe.trusted
    assert profile.probe.drift > 0.1


def test_cases_take_turns_and_no_graph_twice_in_a_row():
    device = Device()
    probed(device)
    order = [job for job, _ in device.turns]
    crews = [job for job, _ in device.hired]
    assert order == [crews[place % len(crews)] for place in range(len(order))]
    graphs = [request.graph for request in device.turns[0][1].requests]
    assert all(one != other for one, other in itertools.pairwise(graphs))
    assert len(order) > 3 * len(crews)


def test_processes_are_those_of_the_steps_and_one_for_each_number_of_threads():
    device = Device()
    probed(device)
    assert [(job.provider, job.threads) for job, _ in device.hired] == [("cpu", n) for n in (3, 1, 2, 3)]
    assert device.ended == [job for job, _ in device.hired][::-1]


@pytest.mark.parametrize("seconds", [10.0, 30.0, 100.0])
def test_the_probe_ends_when_its_time_is_up(seconds):
    device = Device()
    profile = probed(device, ProbeSettings(seconds=seconds, rest_seconds=0.0, precisions=("int4",)))
    longest = max(step.seconds for step in profile.probe.steps)
    assert seconds <= device.now - 50 <= seconds + 4 * longest
    assert profile.probe.seconds == pytest.approx(device.now - 50)
    assert all(limit <= seconds + GRACE_SECONDS for _, limit in device.hired)


def test_more_time_gives_more_rounds():
    few, many = (
        probed(Device(), ProbeSettings(seconds=s, rest_seconds=0.0, precisions=("int4",))) for s in (10.0, 40.0)
    )
    assert many.probe.rounds > 3 * few.probe.rounds > 15


def test_a_device_too_slow_for_a_single_round_is_told_so():
    device = Device(noise=lambda: 3000.0)
    with pytest.raises(EdgedraftError) as error:
        probed(device)
    assert str(error.value).startswith("probe: the time was up before the first round, after ")
    assert str(error.value).endswith(" s - give the probe more seconds, or fewer precisions")
    assert len(device.ended) == len(device.hired)


def test_bandwidth_is_told_by_threads_and_the_best_is_the_peak():
    profile = probed(Device())
    by_threads = profile.probe.bandwidths
    products = 10**8 / (OVERHEAD + 6 * PRODUCT + 10**8 / 40e9) / 1e9
    assert [each.threads for each in by_threads] == [1, 2, 3]
    assert [each.gigabytes_per_second for each in by_threads] == pytest.approx([products, 40.0, 60.0])
    best = max(each.gigabytes_per_second for each in by_threads)
    assert profile.bandwidth.peak == profile.bandwidth.cpu
    assert profile.bandwidth.gpu is None
    assert profile.bandwidth.peak.gigabytes_per_second == pytest.approx(best, abs=0.01)
    assert profile.bandwidth.peak.certainty == "measured"
    source = f"edgedraft devices probe, 2026-11-22, onnxruntime {onnxruntime_version}"
    assert profile.bandwidth.peak.source == source


def test_the_profile_describes_the_machine_and_survives_its_file():
    profile = probed(Device())
    assert (profile.id, profile.name, profile.kind) == ("amd-epyc-test", "AMD EPYC (test)", BOARD)
    assert (profile.cores, profile.memory.gigabytes, profile.cpu.value) == (3, (8.0,), "avx2, avx512f")
    assert profile.probe.system == MACHINE.name
    assert [(each.provider, each.seconds) for each in profile.probe.overheads] == [("cpu", pytest.approx(OVERHEAD))]
    assert from_plain(DeviceProfile, to_plain(profile), "profile") == profile


def test_progress_tells_graphs_and_then_seconds():
    seen = []
    probed(Device(), progress=lambda *facts: seen.append(facts))
    built = [facts for facts in seen if facts[0] == "probe: graphs built"]
    assert built == [("probe: graphs built", done, 11) for done in range(1, 12)]
    timed = [facts[1:] for facts in seen if facts[0] == "probe: seconds of timing"]
    assert timed[-1][0] == timed[-1][1]
    assert timed == sorted(timed)


# --- providers -------------------------------------------------------------------------------------------------------


@pytest.fixture
def with_gpu(monkeypatch):
    monkeypatch.setattr(probing, "available_providers", lambda: {"cpu": "…", "azure": "…", "webgpu": "…"})


@pytest.mark.usefixtures("with_gpu")
def test_every_provider_is_probed_and_its_bandwidth_told_apart():
    device = Device()
    profile = probed(device, ProbeSettings(seconds=30.0, rest_seconds=0.0, precisions=("int4", "fp16"), rows=(1,)))
    assert {(step.provider, step.precision) for step in profile.probe.steps} == {
        ("cpu", "int4"),
        ("webgpu", "int4"),
        ("webgpu", "fp16"),
    }
    assert profile.bandwidth.gpu is not None
    assert {each.provider for each in profile.probe.overheads} == {"cpu", "webgpu"}


GIGABYTES["fp16"] = 30e9


@pytest.mark.usefixtures("with_gpu")
def test_a_provider_that_refuses_the_smallest_graph_is_skipped_with_its_reason():
    device = Device(fails={("webgpu", "fp32", 32): "no adapter"})
    profile = probed(device)
    assert {step.provider for step in profile.probe.steps} == {"cpu"}
    assert profile.probe.skipped == ("webgpu: no adapter",)
    assert device.ended[0].provider == "webgpu"


@pytest.mark.usefixtures("with_gpu")
def test_a_precision_that_a_provider_lacks_is_skipped_with_its_reason():
    device = Device(fails={("webgpu", "int4", width): "no kernel" for width in (1024, 2048)})
    profile = probed(device)
    assert {step.precision for step in profile.probe.steps if step.provider == "webgpu"} == {"fp32"}
    assert profile.probe.skipped == (
        "int4 1024 wide on webgpu: no kernel",
        "int4 2048 wide on webgpu: no kernel",
    )


def test_a_cpu_that_cannot_be_probed_is_an_error():
    device = Device(fails={("cpu", "fp32", 32): "no memory"})
    with pytest.raises(EdgedraftError) as error:
        probed(device)
    assert str(error.value) == "no memory"
    assert len(device.ended) == 1


# --- jobs ------------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("cores", "counts"), [(1, (1,)), (2, (1, 2)), (7, (1, 2, 3, 4, 6, 7)), (16, (1, 2, 3, 4, 6, 8, 12, 16))]
)
def test_threads_step_wider_as_they_grow_and_end_with_all_cores(cores, counts):
    assert thread_counts(cores) == counts


def test_small_machines_get_small_graphs():
    small = Machine(processor="x", cores=1, memory_bytes=2**31, system="Linux", features=())
    assert {spec.weight_bytes for spec in jobs(SETTINGS, small, ["cpu"])[0].graphs} == {1, 2**31 // 64}
    assert {spec.weight_bytes for spec in jobs(SETTINGS, MACHINE, ["cpu"])[0].graphs} == {1, 96_000_000}


def test_providers_that_were_asked_for_and_are_not_there_are_refused():
    settings = ProbeSettings(providers=("cpu", "abacus"))
    with pytest.raises(EdgedraftError) as error:
        jobs(settings, MACHINE, ["cpu", "cuda"])
    assert str(error.value) == "probe: providers: this onnxruntime offers cpu, cuda, got abacus"


def test_only_the_providers_asked_for_are_probed():
    asked = ProbeSettings(providers=("cuda",), threads=2)
    assert [(job.provider, job.threads) for job in jobs(asked, MACHINE, ["cpu", "cuda"])] == [("cuda", 2)]


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"seconds": 3.0}, "probe: seconds: expected 10..3600, got 3.0"),
        ({"rows": (2, 4)}, "probe: rows must begin with 1, got (2, 4)"),
        (
            {"precisions": ("int4", "int5")},
            "probe: precisions: expected of int4, int4-block32, int8, int8-dynamic, fp32, fp16, got int5",
        ),
    ],
)
def test_settings_that_make_no_probe_are_refused(changes, message):
    with pytest.raises(EdgedraftError) as error:
        ProbeSettings(**changes)
    assert str(error.value) == message


def test_products_on_a_browsers_provider_are_multiplied_as_its_bundles_multiply():
    graphs = {job.provider: job.graphs for job in jobs(SETTINGS, MACHINE, ["cpu", "webgpu"])[:2]}
    assert {spec.accuracy_level for spec in graphs["cpu"]} == {4}
    assert {spec.accuracy_level for spec in graphs["webgpu"][1:]} == {1}
