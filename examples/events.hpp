// What the loop of poll_loop waits for.
#pragma once

#if defined(_WIN32)
#include "windows/events.hpp"
#else
#include "linux/events.hpp"
#endif
