// Options that several commands have.
#pragma once

#include <cstdint>
#include <functional>
#include <string>

namespace CLI {
class App;
}

namespace belfry::cli {

/// --interval and --count, of commands that look again and again.
void add_interval_options(CLI::App& command, double& interval, std::uint64_t& count);

/// For CLI::Option::check(): a number in this range, and not NaN.
std::function<std::string(const std::string&)> between(double least, double most);

}  // namespace belfry::cli
