"""Whoever has no GPU reads in one line what is missing, and what to do about it on that system."""

import pytest

from edgedraft.runtime.onnx.missing_gpu import ALLOW_SOFTWARE, VulkanDevice, missing_gpu

DRIVERS = "your GPU's Vulkan driver (mesa-vulkan-drivers for AMD and Intel, NVIDIA's own for NVIDIA)"
CHECK = "vulkaninfo --summary, of vulkan-tools, lists what is found"
SOFTWARE = VulkanDevice(name="llvmpipe", software=True)
REAL = VulkanDevice(name="Radeon 780M", software=False)


@pytest.mark.parametrize("allowed", [False, True])
def test_without_vulkan_it_is_named_whatever_is_allowed(allowed):
    loader = f"provider webgpu: the Vulkan loader libvulkan.so.1 is missing - install libvulkan1 and {DRIVERS}; {CHECK}"
    assert str(missing_gpu("linux", None, software_allowed=allowed)) == loader
    driver = f"provider webgpu: Vulkan finds no driver - install {DRIVERS}; {CHECK}"
    assert str(missing_gpu("linux", (), software_allowed=allowed)) == driver


def test_software_is_told_from_a_gpu():
    said = str(missing_gpu("linux", (SOFTWARE, SOFTWARE), software_allowed=False))
    rule = "provider webgpu: Vulkan finds no GPU, got software alone: llvmpipe, llvmpipe"
    assert said == f"{rule} - install {DRIVERS}, or set {ALLOW_SOFTWARE}=1 to try it without a GPU"


def test_a_gpu_that_only_vulkan_sees_can_be_allowed():
    said = str(missing_gpu("linux", (SOFTWARE, REAL), software_allowed=False))
    rule = "provider webgpu: ONNX Runtime sees no GPU though Vulkan does, got llvmpipe, Radeon 780M"
    assert said == f"{rule} - set {ALLOW_SOFTWARE}=1, which has it take what Vulkan finds (needed in some containers)"


@pytest.mark.parametrize(
    ("reason", "found"), [(None, "llvmpipe"), ("No supported adapters", "llvmpipe: No supported adapters")]
)
def test_a_device_that_is_refused_is_named_with_the_reason(reason, found):
    said = str(missing_gpu("linux", (SOFTWARE,), software_allowed=True, reason=reason))
    assert said == f"provider webgpu: the device cannot be used, got {found} - update its driver; {CHECK}"


def test_other_systems_have_other_remedies():
    windows = str(missing_gpu("win32", None, software_allowed=False, reason="No supported adapters"))
    remedy = "install the GPU's newest driver; dxdiag tells whether it does Direct3D 12"
    assert windows == f"provider webgpu: no GPU is found, got No supported adapters - {remedy}"
    mac = str(missing_gpu("darwin", None, software_allowed=False))
    remedy = "use a Mac with Metal; system_profiler SPDisplaysDataType tells"
    assert mac == f"provider webgpu: no GPU is found - {remedy}"
