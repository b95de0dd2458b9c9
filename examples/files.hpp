// Files, as the operating system has them.
#pragma once

#if defined(_WIN32)
#include "windows/files.hpp"
#else
#include "linux/files.hpp"
#endif
