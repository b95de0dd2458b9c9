#include "../platform/block.hpp"
#include "inspection.hpp"

#include <belfry/detail/blocks/any_endpoint.hpp>
#include <belfry/detail/segment/segment.hpp>

#include <algorithm>
#include <map>

namespace belfry {

using detail::failure;

std::size_t channel_info::alive() const noexcept {
  return static_cast<std::size_t>(std::ranges::count_if(participants, [](const auto& p) { return p.alive; }));
}

std::size_t channel_info::alive(participant_role role) const noexcept {
  const auto is_one = [&](const participant_info& p) {
    return p.alive && p.role == role && p.state != participant_state::joining;
  };
  return static_cast<std::size_t>(std::ranges::count_if(participants, is_one));
}

channel_info inspect(std::string_view name, inspection what) {
  failure f;
  channel_info info = detail::inspect_name(name, f, what);
  if (f) f.raise();
  return info;
}

channel_info inspect(std::string_view name, error_code& ec, inspection what) {
  failure f;
  channel_info info = detail::inspect_name(name, f, what);
  ec = detail::to_net(f.code);
  return info;
}

// Through another description: that of the participant holds its lock, and would not see it.
channel_info detail::info_of(const segment& joined) {
  failure f;
  const unique_handle another = platform::reopen_block(joined.block().get(), false, f);
  return inspect_block(joined.name(), another ? another : joined.block());
}

std::vector<segment_entry> list_segments(inspection what) {
  std::vector<std::string> names = platform::block_names();
  std::ranges::sort(names);
  std::vector<segment_entry> all;
  std::map<std::string_view, segment_entry> strays;
  for (const std::string& name : names) {
    platform::file_status status;
    if (platform::status_of_name(name, status)) continue;
    const auto segment = detail::segment_of_bell(name);
    if (segment && status.is == platform::file_status::type::bell) {
      if (std::ranges::binary_search(names, *segment)) continue;
      segment_entry& bells = strays.try_emplace(*segment, detail::of_file(*segment, status)).first->second;
      bells.kind = "bells";
      ++bells.stray_bells;
      continue;
    }
    failure f;
    segment_entry entry = detail::inspect_file(name, status, f, what);
    if (f.code == std::errc::no_such_file_or_directory) continue;
    if (f) entry.problem = f.what + (f.code == errc::incompatible ? "" : ": " + f.code.message());
    all.push_back(std::move(entry));
  }
  for (auto& [name, entry] : strays) all.push_back(std::move(entry));
  std::ranges::sort(all, {}, &segment_entry::name);
  return all;
}

}  // namespace belfry
