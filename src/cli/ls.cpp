// belfry ls: what is in shared memory.
#include "commands.hpp"
#include "findings.hpp"
#include "json.hpp"
#include "text.hpp"

#include <belfry/inspect.hpp>

#include <CLI/CLI.hpp>
#include <iostream>
#include <memory>

namespace belfry::cli {
namespace {

struct ls_options {
  bool json = false;
  bool all = false;
};

/// Files that are not ours and no blocks: directories and the like, and semaphores (sem_overview(7)).
bool is_foreign(const segment_entry& e) {
  return e.kind == "other" || (e.kind == "block" && e.name.starts_with("sem."));
}

std::string unread_text(const segment_entry& e) {
  if (!e.unread) return "-";
  const auto number = [&](std::uint64_t n) {
    return e.kind == "byte_ring" ? size_text(n) : std::to_string(n);
  };
  return number(*e.unread) + '/' + number(e.capacity);
}

std::string alive_text(const segment_entry& e, participant_role role) {
  return is_segment(e) ? std::to_string(e.alive(role)) : "-";
}

cell note_on(const segment_entry& e) {
  if (!e.problem.empty()) return {e.problem, tone::bad};
  if (e.stray_bells != 0)
    return {plural(e.stray_bells, "bell") + " of a channel that is gone", tone::warning};
  if (const std::size_t dead = dead_participants(e); dead != 0)
    return {plural(dead, "dead participant"), tone::warning};
  if (e.dead.value_or(0) != 0) return {plural(*e.dead, "dead item"), tone::warning};
  if (e.orphaned) return {"its block is gone", tone::warning};
  return e.lifetime == lifetime::persistent ? "persistent" : "";
}

void ls(const ls_options& options) {
  table rows({"NAME", "KIND", ">SIZE", ">UNREAD", ">PRODUCERS", ">CONSUMERS", "NOTE"});
  for (const segment_entry& e : list_segments()) {
    if (!options.all && is_foreign(e)) continue;
    if (options.json) {
      std::cout << json_of(e) << '\n';
    } else {
      rows.add({shown(e.name), e.kind, size_text(e.bytes), unread_text(e),
                alive_text(e, participant_role::producer), alive_text(e, participant_role::consumer),
                note_on(e)});
    }
  }
  if (!options.json) rows.print(std::cout);
}

}  // namespace

void add_ls(CLI::App& app) {
  const auto options = std::make_shared<ls_options>();
  CLI::App* const command = app.add_subcommand("ls",
                                               "List the channels, blocks and companions in shared "
                                               "memory, and what dead processes have left");
  command->add_flag("--json", options->json, "One JSON object a line, with all that `stat` knows");
  command->add_flag("--all", options->all,
                    "Also semaphores, directories, and other files that are no blocks");
  command->callback([options] { ls(*options); });
}

}  // namespace belfry::cli
