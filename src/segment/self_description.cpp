#include "self_description.hpp"

#include "description.hpp"
#include "json_text.hpp"

namespace belfry::detail {
namespace {

/// For everything but the type.
constexpr std::size_t most_other_bytes = 512;

}  // namespace

std::string describe_segment(const layout::identity& id, const type_description* type) {
  std::string ring = "{\"kind\":" + json_string(layout::name_of(id.kind));
  const auto add = [&ring](std::string_view key, std::uint64_t value) {
    ring += ',' + json_string(key) + ':' + std::to_string(value);
  };
  add("producers", id.producers);
  add("consumers", id.consumers);
  add("capacity", id.capacity);
  add("places", id.places.places);
  add("first", id.places.first);
  add("stride", id.places.stride);
  add("value", id.places.value);
  add("written", id.places.written);
  add("read", id.places.read);
  const std::string type_text =
      type == nullptr ? "null" : to_json(*type, layout::max_description - most_other_bytes);
  return "{\"belfry\":" + json_string(BELFRY_VERSION) + ",\"ring\":" + ring + "},\"type\":" + type_text + '}';
}

std::string difference_of_types(std::string_view found, std::string_view expected) {
  std::string ignored;
  const auto there = parse_description(type_in(found), ignored);
  const auto here = parse_description(type_in(expected), ignored);
  return there && here ? difference(*there, *here) : std::string();
}

}  // namespace belfry::detail
