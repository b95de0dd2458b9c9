#include "json.hpp"

#include "text.hpp"

#include <nlohmann/json.hpp>

namespace belfry::cli {
namespace {

using nlohmann::ordered_json;

template <class T>
ordered_json known(bool is_known, const T& value) {
  return is_known ? ordered_json(value) : ordered_json();
}
template <class T>
ordered_json known(const std::optional<T>& value) {
  return known(value.has_value(), value.value_or(T()));
}

const char* name_of(participant_state state) {
  switch (state) {
    case participant_state::joining: return "joining";
    case participant_state::live: return "live";
    case participant_state::leaving: break;
  }
  return "leaving";
}

const char* name_of(garbage::fate fate) {
  switch (fate) {
    case garbage::fate::removed: return "removed";
    case garbage::fate::in_use: return "in use";
    case garbage::fate::holding: break;
  }
  return "holding";
}

ordered_json object_of(const participant_info& p) {
  return {
      {"slot", p.slot},
      {"role", p.role == participant_role::producer ? "producer" : "consumer"},
      {"pid", p.pid},
      {"program", p.program},
      {"since", std::chrono::system_clock::to_time_t(p.since)},
      {"alive", p.alive},
      {"state", name_of(p.state)},
      {"parked", p.parked},
      {"notified", p.notified},
      {"parks", p.parks},
      {"rings", p.rings},
      {"deaths", p.deaths},
      {"messages", p.messages},
      {"bytes", p.bytes},
      {"lost", p.lost},
      {"behind", known(p.behind)},
      {"held", known(p.held)},
  };
}

ordered_json object_of(const traffic_info& t) {
  return {{"messages", t.messages}, {"bytes", t.bytes}, {"lost", t.lost}};
}

/// Untrusted, like everything in a segment: null unless it is JSON. What is nested too deeply is left out: printing
/// recurses.
ordered_json object_in(const std::string& text) {
  const auto shallow = [](int depth, ordered_json::parse_event_t, ordered_json&) { return depth < 64; };
  ordered_json parsed = ordered_json::parse(text, shallow, false);
  return parsed.is_discarded() ? ordered_json() : parsed;
}

std::string id_text(const std::array<std::byte, 16>& id) {
  constexpr char digits[] = "0123456789abcdef";
  std::string text;
  for (const std::byte b : id) {
    text += digits[std::to_integer<unsigned>(b) >> 4];
    text += digits[std::to_integer<unsigned>(b) & 15];
  }
  return text;
}

/// A name need not be UTF-8: then it has replacement characters.
std::string line_of(const ordered_json& object) {
  return object.dump(-1, ' ', false, ordered_json::error_handler_t::replace);
}

}  // namespace

std::string json_of(const channel_info& info) {
  const bool segment = is_segment(info);
  ordered_json participants = ordered_json::array();
  for (const participant_info& p : info.participants) participants.push_back(object_of(p));
  return line_of({
      {"name", info.name},
      {"kind", info.kind},
      {"problem", known(!info.problem.empty(), info.problem)},
      {"bytes", info.bytes},
      {"owner", info.owner},
      {"group", info.group},
      {"mode", mode_text(info.mode)},
      {"inode", info.inode},
      {"created", std::chrono::system_clock::to_time_t(info.created)},
      {"version", known(info.version != 0, info.version)},
      {"id", known(segment, id_text(info.id))},
      {"program", known(segment, info.program)},
      {"creator", known(segment, info.creator)},
      {"description", object_in(info.description)},
      {"type", object_in(info.type)},
      {"lifetime",
       known(segment, info.lifetime == lifetime::persistent ? "persistent" : "drained")},
      {"capacity", known(segment, info.capacity)},
      {"value_bytes", known(segment, info.value_bytes)},
      {"message_bytes", known(segment && info.message_bytes != 0, info.message_bytes)},
      {"value_align", known(segment, info.value_align)},
      {"type_fingerprint", known(segment, hex_text(info.type_fingerprint))},
      {"overwrites", known(segment, info.overwrites)},
      {"unread", known(info.unread)},
      {"dead", known(info.dead)},
      {"dropped", known(info.dropped)},
      {"max_deliveries", known(info.max_deliveries != 0, info.max_deliveries)},
      {"lease_timeout", known(info.lease_timeout.count() != 0, info.lease_timeout.count())},
      {"producers", known(segment, info.alive(participant_role::producer))},
      {"consumers", known(segment, info.alive(participant_role::consumer))},
      {"most_producers", known(segment, info.producers)},
      {"most_consumers", known(segment, info.consumers)},
      {"joins", known(segment, info.joins)},
      {"leaves", known(segment, info.leaves)},
      {"deaths", known(segment, info.deaths)},
      {"sent", known(segment, object_of(info.sent))},
      {"received", known(segment, object_of(info.received))},
      {"roster_locked", known(info.version != 0, info.roster_locked)},
      {"participants", std::move(participants)},
      {"dirty", known(info.kind == "watch", info.dirty)},
      {"orphaned", known(info.kind == "watch", info.orphaned)},
      {"stray_bells", info.stray_bells},
  });
}

std::string json_of(const garbage& g) {
  return line_of({{"name", g.name}, {"kind", g.kind}, {"fate", name_of(g.is)}, {"unread", known(g.unread)}});
}

std::string json_of(const diagnosis& d) {
  return line_of({{"check", d.check},
                  {"level", text_of(d.is)},
                  {"found", d.found},
                  {"advice", known(!d.advice.empty(), d.advice)}});
}

std::string json_of(const rate_line& line, const std::string& name, bool bytes) {
  return line_of({{"name", name},
                  {"state", line.state},
                  {"seconds", known(line.seconds)},
                  {bytes ? "sent_bytes_per_second" : "sent_per_second", known(line.sent)},
                  {bytes ? "received_bytes_per_second" : "received_per_second", known(line.received)},
                  {"lost", known(line.lost)}});
}

}  // namespace belfry::cli
