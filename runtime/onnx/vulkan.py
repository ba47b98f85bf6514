"""What the system's Vulkan loader finds: asked only to say why there is no GPU to run on."""

import ctypes
from dataclasses import dataclass

_LOADER = "libvulkan.so.1"
_CREATE_INSTANCE = 1  # VkStructureType
_CPU = 4  # VkPhysicalDeviceType
_KIND, _NAME = slice(16, 20), slice(20, 276)  # in VkPhysicalDeviceProperties, which has 824 bytes
_ROOM = 4096


@dataclass(frozen=True, kw_only=True, slots=True)
class VulkanDevice:
    """A device by its driver's name; ``software`` ones compute on the CPU."""

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


def vulkan_devices() -> tuple[VulkanDevice, ...] | None:
    """Every device that an installed driver offers, or None where there is no loader."""
    try:
        loader = ctypes.CDLL(_LOADER)
    except OSError:
        return None
    instance = ctypes.c_void_p()
    if loader.vkCreateInstance(ctypes.byref(_InstanceInfo(kind=_CREATE_INSTANCE)), None, ctypes.byref(instance)):
        return ()
    try:
        return tuple(_described(loader, device) for device in _handles(loader, instance))
    finally:
        loader.vkDestroyInstance(instance, None)


def _handles(loader: ctypes.CDLL, instance: ctypes.c_void_p) -> list[int]:
    count = ctypes.c_uint32()
    loader.vkEnumeratePhysicalDevices(instance, ctypes.byref(count), None)
    handles = (ctypes.c_void_p * count.value)()
    loader.vkEnumeratePhysicalDevices(instance, ctypes.byref(count), handles)
    return [handle for handle in handles if handle]


def _described(loader: ctypes.CDLL, handle: int) -> VulkanDevice:
    properties = ctypes.create_string_buffer(_ROOM)
    loader.vkGetPhysicalDeviceProperties(ctypes.c_void_p(handle), properties)
    told = properties.raw
    name = told[_NAME].split(b"\0")[0].decode("utf-8", errors="replace")
    return VulkanDevice(name=name, software=int.from_bytes(told[_KIND], "little") == _CPU)
