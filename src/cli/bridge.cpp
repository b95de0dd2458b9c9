// belfry bridge: the program belfry-bridge, which alone is linked with the client of NATS.
#include "../platform/tool.hpp"
#include "commands.hpp"

#include <CLI/CLI.hpp>
#include <memory>
#include <string>
#include <system_error>
#include <vector>

namespace belfry::cli {

void add_bridge(CLI::App& app) {
  CLI::App* const command = app.add_subcommand(
      "bridge", "Tie channels to subjects of a NATS server, and so to channels of other machines. (Its options: `belfry "
                "bridge --help`, if this belfry was built with NATS.)");
  command->prefix_command();
  command->set_help_flag();
  command->callback([command] {
    const detail::failure f = platform::become("belfry-bridge", command->remaining());
    if (f.code != std::errc::no_such_file_or_directory) f.raise();
    throw std::runtime_error("there is no program belfry-bridge: this belfry was built without NATS");
  });
}

}  // namespace belfry::cli
