#include "../segment/ring_values.hpp"
#include "inspection.hpp"

#include <belfry/peek.hpp>

#include <string>
#include <utility>

namespace belfry {
namespace {

using detail::failure;

bool check_kind(const channel_info& info, failure& f) {
  if (info.version != 0 && info.kind != "unknown" && info.kind != "watch") return true;
  std::string what = '"' + info.name + "\" is ";
  if (info.kind == "unknown")
    what += "no channel: " + info.problem;
  else
    what += info.kind == "watch" ? "the companion of a block, not a channel" : "a block, not a channel";
  f = {make_error_code(errc::incompatible), std::move(what)};
  return false;
}

peeked_channel peek_name(std::string_view name, std::size_t most, failure& f) {
  const detail::unique_handle block = detail::open_to_inspect(name, f);
  if (!block) return {};
  layout::identity id{};
  peeked_channel seen{detail::inspect_block(name, block, inspection::all, &id), {}};
  if (!check_kind(seen.info, f)) return {};
  if (!seen.info.problem.empty()) return seen;
  detail::ring_values found = detail::values_of(block, id, most);
  seen.info.problem = std::move(found.problem);
  seen.values.reserve(found.values.size());
  for (detail::ring_value& v : found.values) seen.values.push_back({v.position, std::move(v.bytes), v.dead});
  return seen;
}

}  // namespace

peeked_channel peek(std::string_view name, std::size_t most) {
  failure f;
  peeked_channel seen = peek_name(name, most, f);
  if (f) f.raise();
  return seen;
}

peeked_channel peek(std::string_view name, std::size_t most, error_code& ec) {
  failure f;
  peeked_channel seen = peek_name(name, most, f);
  ec = detail::to_net(f.code);
  return seen;
}

}  // namespace belfry
