"""Explain in one line why there is no GPU to run on, by asking the system's Vulkan loader what it sees."""

import ctypes
from collections.abc import Sequence
from dataclasses import dataclass

from edgedraft.runtime.base.errors import EdgedraftError

ALLOW_SOFTWARE = "ORT_WEBGPU_EP_ALLOW_SOFTWARE_ADAPTER"
"""Environment variable that lets ONNX Runtime take a device that it does not recognise as a GPU."""

_RULE = "provider webgpu:"
_DRIVERS = "your GPU's Vulkan driver (mesa-vulkan-drivers for AMD and Intel, NVIDIA's own for NVIDIA)"
_CHECK = "vulkaninfo --summary, of vulkan-tools, lists what is found"
_OTHER_SYSTEMS = {
    "win32": "install the GPU's newest driver; dxdiag tells whether it does Direct3D 12",
    "darwin": "use a Mac with Metal; system_profiler SPDisplaysDataType tells",
}

# From vulkan_core.h: enum values, and where two fields stand in VkPhysicalDeviceProperties (824 bytes). The Vulkan API
# guarantees this layout, so four calls through ctypes do without a Vulkan package.
_LOADER = "libvulkan.so.1"
_INSTANCE_CREATE_INFO = 1  # VK_STRUCTURE_TYPE_INSTANCE_CREATE_INFO
_CPU_DEVICE = 4  # VK_PHYSICAL_DEVICE_TYPE_CPU
_TYPE_BYTES, _NAME_BYTES = slice(16, 20), slice(20, 276)
_PROPERTIES_BYTES = 4096  # far more than 824: a newer loader may write a longer record


@dataclass(frozen=True, kw_only=True, slots=True)
class VulkanDevice:
    """A device by its driver's name; a ``software`` device computes on the CPU."""

    name: str
    software: bool


class _InstanceInfo(ctypes.Structure):
    """VkInstanceCreateInfo without layers and extensions."""

    _fields_ = (
        ("kind", ctypes.c_uint32),
        ("next", ctypes.c_void_p),
        ("flags", ctypes.c_uint32),
        ("application", ctypes.c_void_p),
        ("layers", ctypes.c_uint32),
        ("layer_names", ctypes.c_void_p),
        ("extensions", ctypes.c_uint32),
        ("extension_names", ctypes.c_void_p),
    )


def missing_gpu(
    system: str, devices: Sequence[VulkanDevice] | None, *, software_allowed: bool, reason: str | None = None
) -> EdgedraftError:
    """Return the error for a user whose ``system`` (as in `sys.platform`) offers no GPU.

    ``devices`` are those that Vulkan lists, None without its loader. ``reason`` is ONNX Runtime's own, if it gave one.
    """
    if system in _OTHER_SYSTEMS:
        return EdgedraftError(f"{_RULE} no GPU is found", got=reason, remedy=_OTHER_SYSTEMS[system])
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
    got = names if reason is None else f"{names}: {reason}"
    return EdgedraftError(f"{_RULE} the device cannot be used", got=got, remedy=f"update its driver; {_CHECK}")


def vulkan_devices() -> tuple[VulkanDevice, ...] | None:
    """List every device that an installed driver offers, or return None where there is no loader."""
    try:
        loader = ctypes.CDLL(_LOADER)
    except OSError:
        return None
    instance, info = ctypes.c_void_p(), _InstanceInfo(kind=_INSTANCE_CREATE_INFO)
    if loader.vkCreateInstance(ctypes.byref(info), None, ctypes.byref(instance)):
        return ()  # any result but 0 is an error: no driver is installed
    try:
        return tuple(_described(loader, device) for device in _handles(loader, instance))
    finally:
        loader.vkDestroyInstance(instance, None)


def _handles(loader: ctypes.CDLL, instance: ctypes.c_void_p) -> list[int]:
    # Vulkan lists in two calls: the first, without an array, gives the count, and the second fills the array.
    count = ctypes.c_uint32()
    loader.vkEnumeratePhysicalDevices(instance, ctypes.byref(count), None)
    handles = (ctypes.c_void_p * count.value)()
    loader.vkEnumeratePhysicalDevices(instance, ctypes.byref(count), handles)
    return [handle for handle in handles if handle]


def _described(loader: ctypes.CDLL, handle: int) -> VulkanDevice:
    properties = ctypes.create_string_buffer(_PROPERTIES_BYTES)
    loader.vkGetPhysicalDeviceProperties(ctypes.c_void_p(handle), properties)
    name = properties.raw[_NAME_BYTES].split(b"\0")[0].decode("utf-8", errors="replace")
    return VulkanDevice(name=name, software=int.from_bytes(properties.raw[_TYPE_BYTES], "little") == _CPU_DEVICE)
