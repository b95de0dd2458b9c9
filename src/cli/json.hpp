// What the commands print for programs: one JSON object a line. Its keys are stable.
#pragma once

#include "findings.hpp"

#include <belfry/collect_garbage.hpp>
#include <belfry/inspect.hpp>

#include <cstdint>
#include <optional>
#include <string>

namespace belfry::cli {

/// The same keys for everything in shared memory; what it does not have is null.
std::string json_of(const channel_info& info);
std::string json_of(const garbage& g);
std::string json_of(const diagnosis& d);

/// A line of `belfry hz` or `bw`.
struct rate_line {
  std::string state;  ///< "counted", "gone", "made anew": only in the first is the rest known
  std::optional<double> seconds;
  std::optional<double> sent;
  std::optional<double> received;
  std::optional<std::uint64_t> lost;
};
std::string json_of(const rate_line& line, const std::string& name, bool bytes);

}  // namespace belfry::cli
