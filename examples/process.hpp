// This program once more, as another process: what some of the examples start.
#pragma once

#if defined(_WIN32)
#include "windows/process.hpp"
#else
#include "linux/process.hpp"
#endif
