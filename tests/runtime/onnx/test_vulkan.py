"""Asking the Vulkan loader never fails: it is there or not, and it lists what its drivers offer."""

import ctypes

import pytest

from edgedraft.runtime.onnx import missing_gpu
from edgedraft.runtime.onnx.missing_gpu import VulkanDevice, vulkan_devices

REFUSED = -9  # VK_ERROR_INCOMPATIBLE_DRIVER: no driver is installed


class Loader:
    """A loader in Python, over devices that are (kind, name); ``refuses`` is what making an instance comes to."""

    def __init__(self, devices=(), refuses=0):
        self.devices, self.refuses, self.ended = devices, refuses, 0
        self.vkCreateInstance, self.vkDestroyInstance = self.create, self.end
        self.vkEnumeratePhysicalDevices, self.vkGetPhysicalDeviceProperties = self.enumerate, self.describe

    def create(self, info, allocator, instance):
        instance._obj.value = 7
        return self.refuses

    def enumerate(self, instance, count, handles):
        count._obj.value = len(self.devices)
        for place in range(len(self.devices) if handles is not None else 0):
            handles[place] = place + 1

    def describe(self, handle, properties):
        kind, name = self.devices[handle.value - 1]
        told = bytes(16) + kind.to_bytes(4, "little") + name.encode() + b"\0" + bytes(300)
        ctypes.memmove(properties, told, len(told))

    def end(self, instance, allocator):
        assert instance.value == 7
        self.ended += 1


@pytest.fixture
def install(monkeypatch):
    """Put a loader in the place of the system's."""

    def put(loader):
        def load(name):
            assert name == "libvulkan.so.1"
            if loader is None:
                raise OSError("cannot open shared object file")
            return loader

        monkeypatch.setattr(missing_gpu.ctypes, "CDLL", load)
        return loader

    return put


def test_without_a_loader_nothing_is_told(install):
    install(None)
    assert vulkan_devices() is None


def test_without_a_driver_there_is_no_device(install):
    loader = install(Loader(refuses=REFUSED))
    assert vulkan_devices() == ()
    assert loader.ended == 0


def test_devices_are_named_and_software_is_told_apart(install):
    loader = install(Loader([(2, "GeForce"), (1, "Radeon"), (4, "llvmpipe"), (3, "virtual")]))
    found = vulkan_devices()
    assert found == tuple(
        VulkanDevice(name=name, software=name == "llvmpipe") for name in ("GeForce", "Radeon", "llvmpipe", "virtual")
    )
    assert loader.ended == 1
