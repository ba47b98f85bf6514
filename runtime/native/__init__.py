"""Own kernels for few rows: C++ sources, and the loader of the library that they are built into."""
