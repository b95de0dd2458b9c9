// The peers that sleep while they wait.
#pragma once

#include "../harness/contender.hpp"

#include <vector>

namespace belfry::bench {

/// Round trips with all of them, timed one by one in units of which a second has so many.
std::vector<entrant> sleeping_round_trips(double units);

}  // namespace belfry::bench
