// belfry doctor: whether this machine has what Belfry needs, and what is left over, with what to do about it.
#include "commands.hpp"
#include "findings.hpp"
#include "json.hpp"
#include "machine_checks.hpp"
#include "text.hpp"

#include <belfry/channel.hpp>
#include <belfry/inspect.hpp>
#include <belfry/ring/latest.hpp>

#include <CLI/CLI.hpp>
#include <algorithm>
#include <functional>
#include <iostream>
#include <memory>
#include <random>
#include <string>
#include <utility>
#include <vector>

namespace belfry::cli {
namespace {

using level = diagnosis::level;
using diagnoses = std::vector<diagnosis>;

/// Makes a channel, joins it, leaves it, and looks whether that can be seen.
void look_at_channels(diagnoses& found) {
  using probe = channel<latest<int>>;
  const std::string name = "belfry-doctor-" + std::to_string(std::random_device()());
  net::io_context io;
  try {
    probe::producer tx(io, name);
    probe::consumer rx(io, name);
    found.push_back({level::ok, "channels", "can be created and joined", ""});
    bool seen = inspect(name).alive() == 2;
    rx.close();
    seen = seen && inspect(name).alive() == 1;
    found.push_back({seen ? level::ok : level::broken, "locks",
                     std::string(texts_of_system.locks) + (seen ? " work" : " do not work"),
                     seen ? "" : texts_of_system.locks_advice});
  } catch (const std::system_error& e) {
    found.push_back({level::broken, "channels", e.what(), texts_of_system.channels_advice});
  }
}

void look_at_companion(const segment_entry& e, const std::function<void(std::string, std::string)>& note) {
  if (e.alive() != 0) return;
  const std::string name = shown(e.name);
  if (e.orphaned) {
    note("the companion of a block that is gone", "belfry gc " + name);
  } else if (e.dirty) {
    note("a process died in a transaction", "the next one is told, and should check the block; or belfry gc --all " + name);
  } else {
    note("a companion that no process uses", "belfry gc " + name);
  }
}

void look_at_channel(const segment_entry& e, const std::function<void(std::string, std::string)>& note) {
  const std::string name = shown(e.name);
  const std::size_t dead = dead_participants(e);
  if (e.alive() != 0) {
    if (dead != 0) note(plural(dead, "dead participant"), "the living ones free its place when they sleep");
  } else if (e.lifetime == lifetime::persistent) {
    if (dead != 0)
      note("persistent, and all its participants are dead", "start them again, or belfry rm " + name);
  } else if (e.unread == 0 && e.dead.value_or(0) == 0) {
    note("nothing is unread, and no participant is alive", "belfry gc " + name);
  } else {
    note((e.unread == 0 ? "a dead item" : e.unread ? "something" : "perhaps something") + std::string(" is unread, and no participant is alive"),
         "start a consumer, or belfry gc --all " + name);
  }
}

void look_at(const segment_entry& e, diagnoses& found) {
  const std::string name = shown(e.name);
  const auto note = [&](std::string what, std::string advice) {
    found.push_back({level::note, name, std::move(what), std::move(advice)});
  };
  if (e.stray_bells != 0)
    return note(plural(e.stray_bells, "bell") + " of a channel that is gone", "belfry gc " + name);
  if (e.version == 0) return;  // a block, or another user's
  if (!e.problem.empty()) return note(e.problem, "belfry stat " + name + ", then belfry rm " + name);
  if (e.kind == "watch")
    look_at_companion(e, note);
  else
    look_at_channel(e, note);
  if (e.roster_locked && stays_locked(e.name)) {
    note("its roster stays locked", std::string("a process was stopped while it joined or left: ") +
                                        texts_of_system.continue_advice + "; belfry stat " + name +
                                        " has the numbers of the processes");
  }
}

/// The advice comes behind the table, where a narrow terminal does not cut it.
void print(const diagnoses& found) {
  table rows({"LEVEL", "CHECK", "FOUND"});
  std::string advice;
  for (const diagnosis& d : found) {
    const tone colour = d.is == level::broken ? tone::bad : d.is == level::note ? tone::warning : tone::plain;
    rows.add({{text_of(d.is), colour}, d.check, d.found});
    if (!d.advice.empty()) advice += "  " + d.check + ": " + d.advice + '\n';
  }
  rows.print(std::cout);
  if (!advice.empty()) std::cout << coloured("What to do", tone::title) << '\n' << advice;
}

void examine(bool json) {
  diagnoses found = checks_of_system();
  look_at_channels(found);
  for (diagnosis& d : checks_of_limits()) found.push_back(std::move(d));
  for (const segment_entry& e : list_segments()) look_at(e, found);

  if (json) {
    for (const diagnosis& d : found) std::cout << json_of(d) << '\n';
  } else {
    print(found);
  }
  if (std::ranges::any_of(found, [](const diagnosis& d) { return d.is == level::broken; })) throw exit_with{1};
}

}  // namespace

void add_doctor(CLI::App& app) {
  const auto json = std::make_shared<bool>(false);
  CLI::App* const command = app.add_subcommand(
      "doctor", "Check what Belfry needs from the system, and tell what is left over and what to do about it");
  command->add_flag("--json", *json, "One JSON object a line");
  command->footer("Exit status 1 if something is broken; notes do not count.");
  command->callback([json] { examine(*json); });
}

}  // namespace belfry::cli
