"""Why there is no GPU to run on, and what to install, in one line."""

from collections.abc import Sequence

from edgedraft.runtime.base.errors import EdgedraftError
from edgedraft.runtime.onnx.vulkan import VulkanDevice

ALLOW_SOFTWARE = "ORT_WEBGPU_EP_ALLOW_SOFTWARE_ADAPTER"
"""Environment variable that lets ONNX Runtime take a device that is no GPU to it."""

_RULE = "provider webgpu:"
_DRIVERS = "your GPU's Vulkan driver (mesa-vulkan-drivers for AMD and Intel, NVIDIA's own for NVIDIA)"
_CHECK = "vulkaninfo --summary, of vulkan-tools, lists what is found"
_ELSEWHERE = {
    "win32": "install the GPU's newest driver; dxdiag tells whether it does Direct3D 12",
    "darwin": "use a Mac with Metal; system_profiler SPDisplaysDataType tells",
}


def missing_gpu(
    system: str, devices: Sequence[VulkanDevice] | None, *, software_allowed: bool, reason: str | None = None
) -> EdgedraftError:
    """What to tell a user whose ``system`` (as in `sys.platform`) offers no GPU.

    ``devices`` are what Vulkan finds, None without its loader; ``reason`` is what ONNX Runtime says, if it does.
    """
    if system in _ELSEWHERE:
        return EdgedraftError(f"{_RULE} no GPU is found", got=reason, remedy=_ELSEWHERE[system])
    if devices is None:
        remedy = f"install libvulkan1 and {_DRIVERS}; {_CHECK}"
        return EdgedraftError(f"{_RULE} the Vulkan loader libvulkan.so.1 is missing", remedy=remedy)
    if not devices:
        return EdgedraftError(f"{_RULE} Vulkan finds no driver", remedy=f"install {_DRIVERS}; {_CHECK}")
    names = ", ".join(device.name for device in devices)
    if all(device.software for device in devices) and not software_allowed:
        remedy = f"install {_DRIVERS}, or set {ALLOW_SOFTWARE}=1 to try it without a GPU"
        return EdgedraftError(f"{_RULE} Vulkan finds no GPU", got=f"software alone: {names}", remedy=remedy)
    if not software_allowed:
        remedy = f"set {ALLOW_SOFTWARE}=1, which has it take what Vulkan finds (needed in some containers)"
        return EdgedraftError(f"{_RULE} ONNX Runtime sees no GPU though Vulkan does", got=names, remedy=remedy)
    found = names if reason is None else f"{names}: {reason}"
    return EdgedraftError(f"{_RULE} the device cannot be used", got=found, remedy=f"update its driver; {_CHECK}")
