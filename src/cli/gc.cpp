// belfry gc: cleans up after killed servers, and after killed participants of companion segments.
#include "commands.hpp"

#include <belfry/collect_garbage.hpp>

#include <CLI/CLI.hpp>
#include <iostream>
#include <memory>
#include <string>
#include <string_view>

namespace belfry::cli {
namespace {

void collect(const std::string& directory) {
  collect_garbage(
      [](std::string_view name, garbage what) {
        std::cout << (what == garbage::removed ? "removed " : "in use  ") << name << '\n';
      },
      directory);
}

}  // namespace

void add_gc(CLI::App& app) {
  const auto directory = std::make_shared<std::string>();
  CLI::App* const command = app.add_subcommand(
      "gc", "Remove what killed servers and killed watchers of blocks have left, unless a living process uses it");
  command->add_option("--run-directory", *directory, "The directory with the servers' records");
  command->callback([directory] { collect(*directory); });
}

}  // namespace belfry::cli
