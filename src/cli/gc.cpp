// belfry gc: cleans up after killed processes.
#include "commands.hpp"

#include <belfry/collect_garbage.hpp>

#include <CLI/CLI.hpp>
#include <iostream>
#include <memory>
#include <string>
#include <system_error>

namespace belfry::cli {
namespace {

const char* text_of(const garbage& g) {
  switch (g.is) {
    case garbage::fate::removed: return "removed ";
    case garbage::fate::in_use: return "in use  ";
    case garbage::fate::holding: break;
  }
  return "kept    ";
}

void collect(const garbage_options& options) {
  error_code ec;
  for (const garbage& g : collect_garbage(options, ec)) std::cout << text_of(g) << g.name << '\n';
  if (ec) throw std::system_error(ec, "gc");
}

}  // namespace

void add_gc(CLI::App& app) {
  const auto options = std::make_shared<garbage_options>();
  CLI::App* const command = app.add_subcommand(
      "gc", "Remove what killed processes have left and no living process uses");
  command->add_option("name", options->names,
                      "Only these, and blocks of servers only with --run-directory; default: everything");
  command->add_flag("--all", options->holding, "Also channels that hold something unread");
  command->add_option("--run-directory", options->run_directory, "The directory with the servers' records");
  command->callback([options] { collect(*options); });
}

}  // namespace belfry::cli
