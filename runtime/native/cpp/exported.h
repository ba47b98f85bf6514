// Marks the functions that the library shows.
#pragma once

#if defined(_WIN32)
#define EDGEDRAFT_EXPORT extern "C" __declspec(dllexport)
#else
#define EDGEDRAFT_EXPORT extern "C" __attribute__((visibility("default")))
#endif
