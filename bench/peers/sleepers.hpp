// The peers that sleep while they wait.
#pragma once

#include "../harness/contender.hpp"

#include <vector>

namespace belfry::bench {

/// Round trips with all of them, timed one by one; `units` per second.
std::vector<entrant> sleeping_round_trips(double units);

}  // namespace belfry::bench
