#include "options.hpp"

#include "text.hpp"

#include <CLI/CLI.hpp>
#include <cstdlib>

namespace belfry::cli {

void add_interval_options(CLI::App& command, double& interval, std::uint64_t& count) {
  command.add_option("--interval", interval, "Seconds from one look to the next")
      ->check(between(0.001, 1'000'000))
      ->type_name("SECONDS")
      ->capture_default_str();
  command.add_option("--count", count, "End after so many intervals; 0: at Ctrl-C")
      ->type_name("N")
      ->capture_default_str();
}

std::function<std::string(const std::string&)> between(double least, double most) {
  return [=](const std::string& text) {
    char* end = nullptr;
    const double number = std::strtod(text.c_str(), &end);
    const bool fits = end != text.c_str() && *end == '\0' && number >= least && number <= most;
    return fits ? std::string() : text + " is no number between " + short_text(least) + " and " + short_text(most);
  };
}

}  // namespace belfry::cli
