"""Family: which published classes a device's chip belongs to, by the chip's name."""

from dataclasses import dataclass

from edgedraft.devices.profile import DeviceProfile


@dataclass(frozen=True, kw_only=True, slots=True)
class GpuClass:
    """A GPU's classes in the published speeds; None is hardware that nobody published."""

    hardware: str | None
    software: str


@dataclass(frozen=True, kw_only=True, slots=True)
class Family:
    """The classes of a chip. ``gpu`` is None where no GPU to decode on is known."""

    cpu: str | None
    gpu: GpuClass | None = None


_WIDE, _CORTEX, _X86 = "wide-arm", "cortex", "x86"
_ADRENO = GpuClass(hardware="adreno", software="phone")
_OTHER_PHONE = GpuClass(hardware=None, software="phone")
_FAMILIES = (
    ("apple", Family(cpu=_WIDE, gpu=GpuClass(hardware="apple", software="current"))),
    ("intel", Family(cpu=_X86, gpu=GpuClass(hardware="intel", software="current"))),
    ("amd", Family(cpu=_X86, gpu=GpuClass(hardware="amd", software="current"))),
    ("ryzen", Family(cpu=_X86, gpu=GpuClass(hardware="amd", software="current"))),
    ("snapdragon x", Family(cpu=_WIDE, gpu=_ADRENO)),
    ("snapdragon 8 elite", Family(cpu=_WIDE, gpu=_ADRENO)),
    ("snapdragon", Family(cpu=_CORTEX, gpu=_ADRENO)),
    ("orin", Family(cpu=_CORTEX, gpu=GpuClass(hardware="nvidia", software="current"))),
    ("dimensity", Family(cpu=_CORTEX, gpu=_OTHER_PHONE)),
    ("tensor", Family(cpu=_CORTEX, gpu=_OTHER_PHONE)),
    ("exynos", Family(cpu=_CORTEX, gpu=_OTHER_PHONE)),
    ("bcm", Family(cpu=_CORTEX)),
)
_UNKNOWN = {"laptop": Family(cpu=_X86), "board": Family(cpu=_CORTEX), "phone": Family(cpu=_CORTEX, gpu=_OTHER_PHONE)}


def family_of(profile: DeviceProfile) -> Family:
    """Return the family whose word the chip's name holds, else the commonest one of the device's kind."""
    chip = profile.soc.lower()
    return next((family for word, family in _FAMILIES if word in chip), _UNKNOWN[profile.kind])
