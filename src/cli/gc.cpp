// belfry gc: cleans up after killed servers, and after killed participants of companion segments.
#include "../blocks/companion.hpp"
#include "../manager/server/collect.hpp"
#include "../manager/server/tracked_blocks.hpp"
#include "../platform/file.hpp"
#include "commands.hpp"

#include <CLI/CLI.hpp>
#include <iostream>
#include <memory>
#include <string>

namespace belfry::cli {
namespace {

void collect(std::string directory) {
  detail::failure f;
  if (directory.empty()) directory = platform::run_directory(f);
  if (f) f.raise();
  const auto tell = [](const std::string& block, detail::block_fate fate) {
    switch (fate) {
      case detail::block_fate::removed: std::cout << "removed " << block << '\n'; break;
      case detail::block_fate::in_use: std::cout << "in use  " << block << '\n'; break;
      case detail::block_fate::gone: break;
    }
  };
  detail::collect_garbage(directory, tell, f);
  detail::collect_companions(
      [](const std::string& companion) { std::cout << "removed " << companion << '\n'; });
  if (f) f.raise();
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
