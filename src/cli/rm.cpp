// belfry rm: removes channels and blocks by name.
#include "commands.hpp"
#include "text.hpp"

#include <belfry/remove.hpp>

#include <CLI/CLI.hpp>
#include <memory>
#include <string>
#include <system_error>
#include <vector>

namespace belfry::cli {
namespace {

struct rm_options {
  std::vector<std::string> names;
  bool force = false;
};

void rm(const rm_options& options) {
  bool failed = false;
  for (const std::string& name : options.names) {
    try {
      remove(name, options.force ? removal::forced : removal::if_unused);
    } catch (const std::system_error& e) {
      const bool used = e.code() == std::errc::device_or_resource_busy;
      complain(e.what() + std::string(used ? " (--force removes the name; its users continue)" : ""));
      failed = true;
    }
  }
  if (failed) throw exit_with{1};
}

}  // namespace

void add_rm(CLI::App& app) {
  const auto options = std::make_shared<rm_options>();
  CLI::App* const command =
      app.add_subcommand("rm", "Remove channels with their bells, and blocks, whatever they hold; not while a "
                               "process uses them");
  command->add_option("name", options->names, "As in `belfry ls`")->required();
  command->add_flag("--force", options->force,
                    "Even while they are in use: their users continue, and later ones do not meet them");
  command->callback([options] { rm(*options); });
}

}  // namespace belfry::cli
