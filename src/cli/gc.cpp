// belfry gc: cleans up after killed processes.
#include "commands.hpp"
#include "json.hpp"
#include "text.hpp"

#include <belfry/collect_garbage.hpp>

#include <CLI/CLI.hpp>
#include <iostream>
#include <memory>
#include <string>
#include <string_view>
#include <system_error>
#include <vector>

namespace belfry::cli {
namespace {

struct gc_options {
  garbage_options what;
  bool json = false;
};

std::string text_of(const garbage& g) {
  switch (g.is) {
    case garbage::fate::removed:
      return "removed " + shown(g.name) + (g.kind == "bells" ? ": bells of a channel that is gone" : "");
    case garbage::fate::in_use: return "in use  " + shown(g.name);
    case garbage::fate::holding: break;
  }
  std::string what = "something may be unread";
  if (g.kind == "watch") what = "a death in a transaction is to be told";
  if (g.unread) what = plural(*g.unread, g.kind == "byte_ring" ? "byte" : "value") + " unread";
  return "kept    " + shown(g.name) + ": " + what + "; --all removes it";
}

void collect(const gc_options& options) {
  error_code ec;
  for (const garbage& g : collect_garbage(options.what, ec))
    std::cout << (options.json ? json_of(g) : text_of(g)) << '\n';
  if (ec) throw std::system_error(ec, "gc");
}

}  // namespace

void add_gc(CLI::App& app) {
  const auto options = std::make_shared<gc_options>();
  CLI::App* const command = app.add_subcommand(
      "gc",
      "Remove what killed processes have left, and tell what that was: channels without living participants that hold "
      "nothing unread, bells without a channel, companions of blocks, blocks of killed servers. Nothing that a living "
      "process uses, and no persistent channel");
  command->add_option("name", options->what.names,
                      "Only these, and blocks of servers only with --run-directory; default: everything");
  command->add_flag("--all", options->what.holding, "Also channels that hold something unread");
  command->add_option("--run-directory", options->what.run_directory, "The directory with the servers' records");
  command->add_flag("--json", options->json, "One JSON object a line");
  command->callback([options] { collect(*options); });
}

}  // namespace belfry::cli
