"""DeviceProfile: one device's figures, with where each came from."""

from dataclasses import dataclass

from edgedraft.devices.latency import LatencyModel, fit_latency
from edgedraft.devices.machine import Machine
from edgedraft.devices.steps import StepTime


@dataclass(frozen=True, kw_only=True, slots=True)
class DeviceProfile:
    """A device as measured: the machine, the pool's threads, the runtime's version and step times per role."""

    machine: Machine
    threads: int
    onnxruntime: str
    steps: tuple[StepTime, ...]

    def latency(self, role: str) -> LatencyModel:
        """The latency model fitted to one role's steps."""
        return fit_latency([step for step in self.steps if step.role == role])
