// belfry stat: all that can be told of one name.
#include "../platform/tool.hpp"
#include "commands.hpp"
#include "findings.hpp"
#include "json.hpp"
#include "text.hpp"
#include "values.hpp"

#include <belfry/inspect.hpp>

#include <CLI/CLI.hpp>
#include <algorithm>
#include <ctime>
#include <iostream>
#include <memory>
#include <vector>

namespace belfry::cli {
namespace {

struct stat_options {
  std::vector<std::string> names;
  bool json = false;
};

std::string time_text(std::chrono::system_clock::time_point when) {
  const std::time_t seconds = std::chrono::system_clock::to_time_t(when);
  std::tm local{};
  char text[64] = "?";
  if (platform::local_time(seconds, local)) std::strftime(text, sizeof text, "%Y-%m-%d %H:%M:%S", &local);
  return text;
}

void line(std::string_view key, const std::string& value, tone colour = tone::plain) {
  std::string padded = "  " + std::string(key);
  padded.resize(14, ' ');
  std::cout << padded << coloured(value, colour) << '\n';
}

std::string ring_text(const channel_info& info) {
  if (info.kind == "watch") return "companion of a block, for watches and transactions";
  if (has_calls(info)) {
    const std::string count = plural(info.capacity, "call");
    if (info.message_bytes != 0)
      return count + ", request and reply of at most " + plural(info.message_bytes, "byte") + " each";
    return count + ", request and reply of " + plural(info.value_bytes, "byte") + ", type " +
           hex_text(info.type_fingerprint);
  }
  if (info.message_bytes != 0)
    return plural(info.capacity, "message") + " of at most " + plural(info.message_bytes, "byte");
  if (info.value_bytes == 0) return size_text(info.capacity) + " bytes, messages of any size";
  return plural(info.capacity, "value") + " of " + plural(info.value_bytes, "byte") +
         ", alignment " + std::to_string(info.value_align) + ", type " +
         hex_text(info.type_fingerprint);
}

std::string unread_of(const channel_info& info) {
  if (!info.unread) return "not known";
  return std::to_string(*info.unread) + (info.kind == "byte_ring" ? " bytes" : "") + " of " +
         std::to_string(info.capacity);
}

std::string deliveries_of(const channel_info& info) {
  return std::to_string(info.max_deliveries) + (info.max_deliveries == 1 ? " delivery" : " deliveries");
}

std::string dead_of(const channel_info& info) {
  std::string text = info.dead ? plural(*info.dead, "item") : std::string("not known");
  if (info.dropped.value_or(0) != 0) text += ", " + std::to_string(*info.dropped) + " dropped";
  if (info.max_deliveries != 0) text += "; after " + deliveries_of(info);
  if (info.lease_timeout.count() != 0)
    text += "; delivered again after " + short_text(std::chrono::duration<double>(info.lease_timeout).count()) + " s";
  return text;
}

std::string traffic_text(const traffic_info& t) {
  const std::string text = plural(t.messages, "message") + ", " + size_text(t.bytes) + " bytes";
  return t.lost == 0 ? text : text + "; " + std::to_string(t.lost) + " lost";
}

cell doing(const participant_info& p) {
  if (!p.alive) return {"dead", tone::bad};
  switch (p.state) {
    case participant_state::joining: return "joining";
    case participant_state::leaving: return "leaving";
    case participant_state::live: break;
  }
  return p.notified ? "notified" : p.parked ? "asleep" : "awake";
}

void print_participants(const channel_info& info) {
  if (info.participants.empty()) return;
  const bool behind = std::ranges::any_of(
      info.participants, [](const participant_info& p) { return p.behind.has_value(); });
  std::vector<std::string> titles{"SLOT", "ROLE", ">PID", "PROGRAM", "SINCE", "STATE", ">MESSAGES", ">BYTES", ">SLEPT",
                                  ">WOKE", ">DEATHS"};
  const bool holding =
      std::ranges::any_of(info.participants, [](const participant_info& p) { return p.held.has_value(); });
  if (behind) titles.push_back(">BEHIND");
  if (holding) titles.push_back(">HOLDS");
  table rows(std::move(titles));
  for (const participant_info& p : info.participants) {
    std::vector<cell> row{
        std::to_string(p.slot), role_name(p.role, info), std::to_string(p.pid), shown(p.program), time_text(p.since),
        doing(p),
        std::to_string(p.messages), size_text(p.bytes),
        std::to_string(p.parks), std::to_string(p.rings), std::to_string(p.deaths)};
    if (behind) row.emplace_back(p.behind ? std::to_string(*p.behind) : "-");
    if (holding) row.emplace_back(p.held ? std::to_string(*p.held) : "-");
    rows.add(std::move(row));
  }
  rows.print(std::cout, "  ");
}

void print_type(const channel_info& info) {
  if (info.type.empty()) return;
  const std::optional<described_type> type = type_of_values(info);
  if (!type) return line("type", "its description is not one of these values", tone::bad);
  const std::string name = type->name().empty() ? "without a name" : shown(type->name());
  line("type", name + (type->is_opaque() ? ", its fields are not known" : ""));
  table rows({"FIELD", "TYPE", ">OFFSET", ">BYTES"});
  const std::vector<field> fields = fields_of(*type);
  for (const field& f : fields)
    rows.add({shown(f.name), shown(f.type), std::to_string(f.offset), std::to_string(f.bytes)});
  if (!fields.empty()) rows.print(std::cout, "  ");
}

void print(const channel_info& info) {
  std::cout << coloured(shown(info.name), tone::title) << '\n';
  std::string kind = info.kind;
  if (info.overwrites) kind += ", overwriting";
  if (info.version != 0) kind += ", layout version " + std::to_string(info.version);
  line("kind", kind);
  if (!info.problem.empty()) line("problem", info.problem, tone::bad);
  const bool segment = is_segment(info);
  if (segment) line("ring", ring_text(info));
  if (segment && info.kind != "watch") line(has_calls(info) ? "calls" : "unread", unread_of(info));
  if (has_calls(info) && info.max_deliveries != 0) line("lost", "after " + deliveries_of(info));
  if (has_dead_items(info)) line("dead", dead_of(info));
  line("file", size_text(info.bytes) + ", mode " + mode_text(info.mode) + ", user " +
                   std::to_string(info.owner) + ", group " + std::to_string(info.group) +
                   ", inode " + std::to_string(info.inode));
  line(segment ? "created" : "changed",
       time_text(info.created) +
           (segment ? ", by " + shown(info.program) + ", process " + std::to_string(info.creator) : ""));
  if (!segment) return;
  if (info.kind != "watch") {
    line("sent", traffic_text(info.sent));
    line("received", traffic_text(info.received));
  }
  line("lifetime", info.lifetime == lifetime::persistent ? "persistent" : "drained");
  line("counted", plural(info.joins, "join") + ", " + plural(info.leaves, "leave") + ", " +
                      plural(info.deaths, "death"));
  const auto alive = [&](participant_role role, unsigned most) {
    return std::to_string(info.alive(role)) + " of " + plural(most, role_name(role, info));
  };
  line("alive", alive(participant_role::producer, info.producers) + ", " +
                    alive(participant_role::consumer, info.consumers));
  print_type(info);
  print_participants(info);
  for (const std::string& note : findings(info)) std::cout << "  - " << note << '\n';
}

void stat(const stat_options& options) {
  bool failed = false;
  for (const std::string& name : options.names) {
    try {
      const channel_info info = inspect(name);
      if (options.json)
        std::cout << json_of(info) << '\n';
      else
        print(info);
    } catch (const std::system_error& e) {
      complain(e.what());
      failed = true;
    }
  }
  if (failed) throw exit_with{1};
}

}  // namespace

void add_stat(CLI::App& app) {
  const auto options = std::make_shared<stat_options>();
  CLI::App* const command = app.add_subcommand(
      "stat",
      "Tell all that can be told of a channel or block, without joining it; also called `info`");
  command->alias("info");
  command->add_option("name", options->names, "As in `belfry ls`")->required();
  command->add_flag("--json", options->json, "One JSON object a line");
  command->callback([options] { stat(*options); });
}

}  // namespace belfry::cli
