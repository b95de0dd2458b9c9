// Several processes of this program, which are watched.
#pragma once

#if defined(_WIN32)
#include "windows/children.hpp"
#else
#include "linux/children.hpp"
#endif
