#include "same_type.hpp"

#include "fields.hpp"
#include "text.hpp"
#include "values.hpp"

#include <algorithm>
#include <stdexcept>

namespace belfry::cli {
namespace {

std::optional<described_type> type_of(const std::string& description, std::uint64_t value_bytes) {
  channel_info channel;
  channel.type = description;
  channel.value_bytes = value_bytes;
  return type_of_values(channel);
}

std::string place_of(const field& f) {
  return f.type + " at offset " + std::to_string(f.offset);
}

/// The first field that differs; empty if it cannot be told.
std::string difference(const std::vector<field>& from, const std::string& what, const std::vector<field>& to,
                       const std::string& there) {
  for (const field& f : from) {
    const auto other = std::ranges::find(to, f.name, &field::name);
    if (other == to.end()) return "field \"" + f.name + "\" is missing in " + there;
    if (place_of(f) != place_of(*other))
      return "field \"" + f.name + "\" is " + place_of(f) + " in " + what + ", " + place_of(*other) + " in " + there;
  }
  for (const field& f : to) {
    if (std::ranges::find(from, f.name, &field::name) == from.end())
      return "field \"" + f.name + "\" is missing in " + what;
  }
  return {};
}

}  // namespace

recorded_channel recorded(const channel_info& channel) {
  return {.name = channel.name,
          .kind = channel.kind,
          .capacity = channel.capacity,
          .value_bytes = channel.value_bytes,
          .type_fingerprint = channel.type_fingerprint,
          .description = channel.type,
          .started = std::chrono::system_clock::now()};
}

void check_same_type(const recorded_channel& from, const std::string& what, const channel_info& to) {
  const std::string there = '"' + to.name + '"';
  const auto refuse = [&](const std::string& why) {
    throw std::runtime_error(what + " and " + there + " are of different types: " + why);
  };
  const auto messages = [](std::uint64_t value_bytes) {
    return value_bytes == 0 ? "messages of any size" : "values of " + plural(value_bytes, "byte");
  };
  if (from.value_bytes != to.value_bytes)
    refuse(messages(from.value_bytes) + " in " + what + ", " + messages(to.value_bytes) + " in " + there);
  if (from.value_bytes == 0 || from.type_fingerprint == to.type_fingerprint) return;
  const auto here = type_of(from.description, from.value_bytes);
  const auto other = type_of_values(to);
  const std::string why = here && other ? difference(fields_of(*here), what, fields_of(*other), there) : "";
  refuse(why.empty() ? "their fingerprints differ" : why);
}

}  // namespace belfry::cli
