// Commands that there are on Linux only: what they need is not on Windows yet.
#include "../commands.hpp"

#include <CLI/CLI.hpp>
#include <stdexcept>
#include <string>

namespace belfry::cli {
namespace {

void refuse(CLI::App& app, const std::string& name, const std::string& why) {
  CLI::App* const command = app.add_subcommand(name, "Not on Windows: " + why);
  command->prefix_command();  // whatever its arguments
  command->set_help_flag();
  command->callback([=] { throw std::runtime_error(name + ": not on Windows: " + why); });
}

}  // namespace

void add_bridge(CLI::App& app) { refuse(app, "bridge", "there is no bridge to NATS yet"); }
void add_record(CLI::App& app) { refuse(app, "record", "this belfry has no SQLite"); }
void add_replay(CLI::App& app) { refuse(app, "replay", "this belfry has no SQLite"); }
void add_serve(CLI::App& app) { refuse(app, "serve", "there are no managers yet"); }

}  // namespace belfry::cli
