
#include "channels.hpp"

#include "../../platform/bell.hpp"
#include "../../platform/block.hpp"
#include "../../platform/lock.hpp"

#include <cstring>

namespace belfry::detail {

struct managed_channels::channel {
  std::string name;
  described_segment made_as;
  segment_handles handles;
  mapping header;
  std::size_t peers = 0;  // connections of participants

  layout::participant_slot& slot(std::size_t i) const noexcept {
    return reinterpret_cast<layout::participant_slot*>(header.data() +
                                                       sizeof(layout::control_header))[i];
  }
};

std::shared_ptr<managed_channels::channel> managed_channels::join(const std::string& name,
                                                                  const described_segment& wanted,
                                                                  bool any_capacity, failure& f) {
  const bool any_ring = wanted.id.kind == layout::ring_kind{};
  const std::string shown = '"' + name + '"';
  if (any_ring && !channels_.contains(name)) {
    f = {std::make_error_code(std::errc::no_such_file_or_directory), "there is no channel " + shown};
    return nullptr;
  }
  auto& found = channels_[name];
  if (!found) {
    auto made = std::make_shared<channel>();
    made->name = name;
    made->made_as = wanted;
    made->handles = segment::create_described(wanted, f);
    if (!f)
      made->header = platform::map_block(made->handles.block, wanted.id.header_bytes, 0, true, f);
    if (f) {
      channels_.erase(name);
      return nullptr;
    }
    found = std::move(made);
  }
  if (!any_ring && !segment::same_ring(found->made_as, wanted, any_capacity, shown, f)) return nullptr;
  ++found->peers;
  return found;
}

const segment_handles& managed_channels::handles(const channel& c) noexcept { return c.handles; }

void managed_channels::gone(channel& c, bool drained) noexcept {
  // The newcomer that it was made for could not join, or was killed before.
  const auto* const header = reinterpret_cast<const layout::control_header*>(c.header.data());
  const bool unused = header->count.joins.load(std::memory_order_relaxed) == 0;
  if (--c.peers != 0 || !(drained || unused)) return;
  if (const auto found = channels_.find(c.name);
      found != channels_.end() && found->second.get() == &c) {
    channels_.erase(found);
  }
}

void managed_channels::alarm(channel& c) noexcept {
  bool any_dead = false;
  for (std::size_t i = 0; i != c.handles.bells.size(); ++i) {
    // Pairs with the release in roster::set_control().
    const auto control = c.slot(i).control.load(std::memory_order_acquire);
    any_dead |= control.state != layout::slot_state::free &&
                !platform::is_locked_by_another(c.handles.block, layout::slot_lock(i));
  }
  if (!any_dead) return;
  auto* const header = reinterpret_cast<layout::control_header*>(c.header.data());
  header->count.alarms.fetch_add(1, std::memory_order_release);  // pairs with roster::heed_alarm()
  // Other processes share our handles' descriptions, so each bell is opened anew. There is a free descriptor:
  // a connection has just been closed.
  for (const unique_handle& bell : c.handles.bells) {
    std::error_code ignored;  // alarm() is called several times
    if (const unique_handle own = platform::open_anonymous_bell(bell, ignored))
      platform::ring_own_bell(own.get());
  }
}

std::string to_text(const layout::identity& id) {
  std::string text;
  for (const std::byte b : std::as_bytes(std::span(&id, 1))) {
    for (const int shift : {4, 0})
      text += "0123456789abcdef"[std::to_integer<int>(b) >> shift & 15];
  }
  return text;
}

bool from_text(std::string_view text, layout::identity& id) noexcept {
  const auto bytes = std::as_writable_bytes(std::span(&id, 1));
  if (text.size() != 2 * bytes.size()) return false;
  for (std::size_t i = 0; i != text.size(); ++i) {
    const char c = text[i];
    const bool digit = c >= '0' && c <= '9';
    if (!digit && !(c >= 'a' && c <= 'f')) return false;
    const auto four = static_cast<std::byte>(digit ? c - '0' : c - 'a' + 10);
    bytes[i / 2] = bytes[i / 2] << 4 | four;
  }
  return true;
}

}  // namespace belfry::detail
