// belfry peek: the values in a channel, which stay there.
#include "commands.hpp"
#include "findings.hpp"
#include "values.hpp"

#include <belfry/peek.hpp>

#include <CLI/CLI.hpp>
#include <cstdint>
#include <limits>
#include <memory>
#include <stdexcept>
#include <string>

namespace belfry::cli {
namespace {

struct peek_options {
  std::string name;
  std::size_t count = std::numeric_limits<std::size_t>::max();
  bool dead = false;
  value_options values;
};

void peek(const peek_options& options) {
  const peeked_channel seen = belfry::peek(options.name, options.count);
  if (!seen.info.problem.empty()) throw std::runtime_error('"' + options.name + "\": " + seen.info.problem);
  if (options.dead && !has_dead_items(seen.info))
    throw std::runtime_error('"' + options.name + "\" is a " + seen.info.kind + ", which has no dead items");
  value_printer printer(seen.info, options.values);
  for (const peeked_value& v : seen.values) {
    if (v.dead == options.dead) printer.print(v.bytes);
  }
}

}  // namespace

void add_peek(CLI::App& app) {
  const auto options = std::make_shared<peek_options>();
  CLI::App* const command = app.add_subcommand(
      "peek",
      "Print the values in a channel, and take none: what is unread, the oldest first; of a broadcast_ring all that are "
      "still there; of a latest the newest");
  command->add_option("name", options->name, "As in `belfry ls`")->required();
  command->add_option("--count", options->count, "At most so many: the oldest, but of a broadcast_ring the newest")
      ->default_str("all");
  command->add_flag("--dead", options->dead,
                    "Of a work_ring or byte_work_ring: the dead items (delivered too often, or rejected), and only these");
  add_value_options(*command, options->values);
  command->footer("Others go on meanwhile: what may have been overwritten while it was read is left out.");
  command->callback([options] { peek(*options); });
}

}  // namespace belfry::cli
