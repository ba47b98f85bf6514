"""Build the library of own kernels beside the Python sources; everything else is in pyproject.toml.

It is a plain shared library without a Python ABI, so a wheel serves every Python of its platform. Without a compiler
the installation goes on and sessions keep onnxruntime's own kernels.
"""

import sys
from pathlib import Path

from setuptools import Extension, setup
from setuptools.command.bdist_wheel import bdist_wheel
from setuptools.command.build_ext import build_ext
from setuptools.errors import BaseError, CCompilerError

SOURCES = Path("runtime/native/cpp")
LIBRARY = "edgedraft.runtime.native.edgedraft_kernels"
FILE_NAMES = {"darwin": "libedgedraft_kernels.dylib", "win32": "edgedraft_kernels.dll"}
# Contraction would fuse a product and a sum where the source rounds in between: kernels would differ in bits.
GNU = ["-std=c++17", "-O3", "-ffp-contract=off", "-fno-math-errno", "-fvisibility=hidden", "-pthread"]
GNU += ["-Wno-maybe-uninitialized", "-Wno-unknown-warning-option"]  # false alarms in GCC 12's own headers
MICROSOFT = ["/std:c++17", "/O2", "/fp:precise", "/EHsc"]


class BuildKernels(build_ext):
    """Build one file under a name without a Python version, and go on if it cannot be built."""

    def build_extension(self, extension: Extension) -> None:
        """Add the compiler's flags, then build."""
        microsoft = self.compiler.compiler_type == "msvc"
        extension.extra_compile_args = MICROSOFT if microsoft else GNU
        extension.extra_link_args = [] if microsoft else ["-pthread"]
        try:
            super().build_extension(extension)
        except (BaseError, CCompilerError) as error:
            self.warn(f"own kernels were not built, sessions keep those of onnxruntime: {error}")

    def get_ext_filename(self, fullname: str) -> str:
        """Return the library's path in the package; setuptools asks with and without the package's name."""
        *folders, _ = fullname.split(".")
        return str(Path(*folders, FILE_NAMES.get(sys.platform, "libedgedraft_kernels.so")))

    def get_export_symbols(self, extension: Extension) -> list[str]:
        """Return nothing: the sources mark what they export, and there is no Python module to initialize."""
        return []


class PlatformWheel(bdist_wheel):
    """Tag the wheel for its platform and any Python 3, or for everything if no library was built."""

    def get_tag(self) -> tuple[str, str, str]:
        """Return Python, ABI and platform tags."""
        built = any(Path(self.bdist_dir).rglob("*edgedraft_kernels.*"))
        return ("py3", "none", super().get_tag()[2]) if built else ("py3", "none", "any")


setup(
    ext_modules=[
        Extension(
            LIBRARY,
            sources=sorted(str(path) for path in SOURCES.glob("*.cpp")),
            depends=sorted(str(path) for path in SOURCES.glob("*.h")),
            language="c++",
            optional=True,
        )
    ],
    cmdclass={"build_ext": BuildKernels, "bdist_wheel": PlatformWheel},
)
