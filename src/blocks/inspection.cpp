#include "../platform/block.hpp"
#include "../platform/lock.hpp"
#include "../segment/identity.hpp"
#include "../segment/ring_fill.hpp"
#include "../segment/self_description.hpp"
#include "companion.hpp"
#include "inspection.hpp"

#include <belfry/detail/segment/parking.hpp>
#include <belfry/detail/segment/segment.hpp>

#include <algorithm>
#include <array>
#include <cstring>

namespace belfry::detail {

channel_info of_file(std::string_view name, const platform::file_status& file) {
  channel_info info;
  info.name = name;
  info.kind = file.is == platform::file_status::type::regular ? "unknown" : "other";
  info.bytes = file.bytes;
  info.owner = file.owner.user;
  info.group = file.owner.group;
  info.mode = file.owner.mode;
  info.inode = file.id;
  info.created = std::chrono::system_clock::time_point(std::chrono::seconds(file.written_at));
  return info;
}

namespace {

std::chrono::system_clock::time_point time_of(std::uint64_t since_1970) {
  const std::chrono::nanoseconds ns(static_cast<std::int64_t>(since_1970));
  return std::chrono::system_clock::time_point(std::chrono::duration_cast<std::chrono::system_clock::duration>(ns));
}

std::string text_of(const std::array<char, 16>& padded) {
  const std::string_view text(padded.data(), padded.size());
  return std::string(text.substr(0, text.find('\0')));
}

/// Works on private copies: the segment may change at any time, in any way.
class inspector {
 public:
  inspector(const unique_handle& block, channel_info& info, inspection what)
      : block_(block), info_(info), what_(what) {}

  void inspect() {
    info_.kind = "block";
    if (!platform::peek_block(block_, std::as_writable_bytes(std::span(&id_, 1))) ||
        id_.magic != layout::magic) {
      return;
    }
    info_.version = id_.version;
    info_.roster_locked = platform::is_locked_by_another(block_, layout::roster_lock);
    if (id_.version != layout::version) {
      info_.kind = "unknown";
      wrong("the layout version is ", id_.version, layout::version);
      return;
    }
    const std::string_view kind = layout::name_of(id_.kind);
    if (kind.empty()) {
      info_.kind = "unknown";
      return problem("the ring kind is " + std::to_string(static_cast<std::uint32_t>(id_.kind)));
    }
    info_.kind = kind;
    copy_identity();
    check();
    if (!has_roster()) return;  // the rest may still be wrong
    read_roster();
    if (!info_.problem.empty()) return;
    if (id_.kind == layout::ring_kind::watch) return read_watch();
    const ring_fill fill = what_ == inspection::all ? fill_of(block_, id_) : quick_fill_of(block_, id_);
    info_.unread = fill.unread;
    info_.dead = fill.dead;
    info_.dropped = fill.dropped;
    info_.problem = fill.problem;
    for (participant_info& p : info_.participants) {
      p.behind = fill.behind[p.slot];
      p.held = fill.held[p.slot];
    }
  }

  const layout::identity& id() const { return id_; }

 private:
  /// Only the first problem is told.
  void problem(std::string what) {
    if (info_.problem.empty()) info_.problem = std::move(what);
  }
  void wrong(const char* what, std::uint64_t found, std::uint64_t expected) {
    if (found != expected)
      problem(what + std::to_string(found) + ", expected " + std::to_string(expected));
  }

  void copy_identity() {
    info_.id = id_.segment_id;
    info_.program = text_of(id_.program);
    info_.creator = id_.creator;
    info_.created = time_of(id_.created);
    info_.lifetime =
        (id_.flags & layout::flag_persistent) != 0 ? lifetime::persistent : lifetime::drained;
    info_.capacity = id_.capacity;
    info_.value_bytes = id_.value_bytes;
    info_.message_bytes = id_.message_bytes;
    info_.max_deliveries = id_.max_deliveries;
    info_.lease_timeout = std::chrono::nanoseconds(static_cast<std::int64_t>(id_.lease_timeout));
    info_.value_align = id_.value_align;
    info_.type_fingerprint = id_.type_fingerprint;
    info_.overwrites =
        (id_.kind == layout::ring_kind::broadcast || id_.kind == layout::ring_kind::byte_broadcast) &&
        id_.abi_fingerprint != 0;
    info_.producers = id_.producers;
    info_.consumers = id_.consumers;
  }

  void check() {
    if (participants(id_) == 0 || participants(id_) > layout::max_participants)
      return problem("the number of participants is " + std::to_string(participants(id_)));
    if (id_.description_bytes > layout::max_description)
      return problem("the size of the description is " + std::to_string(id_.description_bytes));
    wrong("the header size is ", id_.header_bytes, expected_header_bytes());
    wrong("the size of the file is ", info_.bytes, id_.segment_bytes);
    if (id_.ring_offset < id_.header_bytes || id_.ring_offset > id_.segment_bytes)
      return problem("the ring offset is " + std::to_string(id_.ring_offset));
    wrong("the ring size is ", id_.ring_bytes, id_.segment_bytes - id_.ring_offset);
  }

  std::uint64_t expected_header_bytes() const {
    return layout::header_bytes(participants(id_), id_.description_bytes);
  }
  /// Whether the header says where the roster is.
  bool has_roster() const {
    return participants(id_) <= layout::max_participants && id_.description_bytes <= layout::max_description &&
           id_.header_bytes == expected_header_bytes();
  }

  void read_roster() {
    std::vector<std::byte> bytes(what_ == inspection::all ? id_.header_bytes
                                                          : layout::description_offset(participants(id_)));
    if (!platform::peek_block(block_, bytes))
      return problem("the file ends before its header does");
    using counters = layout::control_header::counters;
    constexpr std::size_t at = offsetof(layout::control_header, count);
    info_.joins = copy<std::uint64_t>(bytes, at + offsetof(counters, joins));
    info_.leaves = copy<std::uint64_t>(bytes, at + offsetof(counters, leaves));
    info_.deaths = copy<std::uint64_t>(bytes, at + offsetof(counters, deaths));
    const bool any_alive = platform::is_any_locked_by_another(block_, layout::slot_lock(0));
    for (std::size_t i = 0; i != participants(id_); ++i) {
      count_traffic(bytes, i);
      read_slot(bytes, i, any_alive);
    }
    if (what_ != inspection::all) return;
    const auto* const text = reinterpret_cast<const char*>(bytes.data()) + layout::description_offset(participants(id_));
    info_.description.assign(text, id_.description_bytes);
    info_.type = type_in(info_.description);
  }

  participant_role role_of(std::size_t index) const {
    return index < id_.producers ? participant_role::producer : participant_role::consumer;
  }

  static std::size_t offset_of_slot(std::size_t index) {
    return sizeof(layout::control_header) + index * sizeof(layout::participant_slot);
  }

  traffic_info traffic_of(const std::vector<std::byte>& bytes, std::size_t index) const {
    using traffic = layout::participant_slot::traffic;
    const std::size_t at = offset_of_slot(index) + offsetof(layout::participant_slot, count);
    const auto count = [&](std::size_t field) { return copy<std::uint64_t>(bytes, at + field); };
    const std::uint64_t messages = count(offsetof(traffic, messages));
    return {messages, id_.value_bytes == 0 ? count(offsetof(traffic, bytes)) : messages * id_.value_bytes,
            count(offsetof(traffic, lost))};
  }

  /// Also of slots that are free now.
  void count_traffic(const std::vector<std::byte>& bytes, std::size_t index) {
    const traffic_info t = traffic_of(bytes, index);
    traffic_info& sum = role_of(index) == participant_role::producer ? info_.sent : info_.received;
    sum.messages += t.messages;
    sum.bytes += t.bytes;
    sum.lost += t.lost;
  }

  void read_slot(const std::vector<std::byte>& bytes, std::size_t index, bool any_alive) {
    using slot = layout::participant_slot;
    const std::size_t at = offset_of_slot(index);
    auto control = copy<layout::slot_control>(bytes, at + offsetof(slot, control));
    if (control.state == layout::slot_state::free) return;
    const bool alive = is_alive(index, control, any_alive);
    if (control.state == layout::slot_state::free) return;
    if (control.state > layout::slot_state::going)
      problem("the state of slot " + std::to_string(index) + " is impossible");
    const auto park = detail::state_of(copy<std::uint64_t>(bytes, at + offsetof(slot, park)));
    const traffic_info traffic = traffic_of(bytes, index);
    info_.participants.push_back({
        .slot = index,
        .role = role_of(index),
        .state = state_of(control.state),
        .pid = copy<std::uint32_t>(bytes, at + offsetof(slot, pid)),
        .program = text_of(copy<std::array<char, 16>>(bytes, at + offsetof(slot, program))),
        .since = time_of(copy<std::uint64_t>(bytes, at + offsetof(slot, since))),
        .alive = alive,
        .parked = park == layout::park_state::parked,
        .notified = park == layout::park_state::rung,
        .parks = copy<std::uint64_t>(bytes, at + offsetof(slot, parks)),
        .rings = copy<std::uint64_t>(bytes, at + offsetof(slot, rings)),
        .deaths = control.deaths,
        .messages = traffic.messages,
        .bytes = traffic.bytes,
        .lost = traffic.lost,
        .behind = {},
        .held = {},
    });
  }

  /// A participant that leaves changes its slot before it gives up its lock. So it has died only if the slot is the same
  /// before and after a look at the lock.
  bool is_alive(std::size_t index, layout::slot_control& control, bool any_alive) const {
    const std::size_t at = offset_of_slot(index);
    for (int attempt = 0; attempt != 8; ++attempt) {
      if (any_alive && platform::is_locked_by_another(block_, layout::slot_lock(index))) return true;
      layout::slot_control again;
      if (!platform::peek_block(block_, std::as_writable_bytes(std::span(&again, 1)), at)) return false;
      if (std::memcmp(&again, &control, sizeof again) == 0) return false;
      control = again;
      any_alive = true;
    }
    return true;  // it comes and goes all the time
  }

  static participant_state state_of(layout::slot_state state) {
    switch (state) {
      case layout::slot_state::joining: return participant_state::joining;
      case layout::slot_state::live: return participant_state::live;
      case layout::slot_state::free:
      case layout::slot_state::going: break;
    }
    return participant_state::leaving;
  }

  void read_watch() {
    wrong("the ring size is ", id_.ring_bytes, sizeof(layout::watch_state));
    std::uint64_t dirty = 0;
    platform::peek_block(block_, std::as_writable_bytes(std::span(&dirty, 1)),
                         id_.ring_offset + offsetof(layout::watch_state, dirty));
    info_.dirty = dirty != 0;
    const std::optional<std::string_view> block = block_of_companion(info_.name);
    info_.orphaned = !block || platform::named_memory_id(*block) != id_.subject;
  }

  template <class T>
  static T copy(const std::vector<std::byte>& bytes, std::size_t at) {
    T value;
    std::memcpy(static_cast<void*>(&value), bytes.data() + at, sizeof value);
    return value;
  }

  const unique_handle& block_;
  channel_info& info_;
  const inspection what_;
  layout::identity id_{};
};

}  // namespace

namespace {

// A bell must not even be opened: its notifiers would take it for heard.
unique_handle open_regular(std::string_view name, const platform::file_status& status, failure& f) {
  if (status.is == platform::file_status::type::regular) return platform::open_block(name, false, f);
  f = {make_error_code(errc::incompatible), '"' + std::string(name) + "\" is not a regular file"};
  return {};
}

}  // namespace

unique_handle open_to_inspect(std::string_view name, failure& f) {
  if (!platform::check_name(name, platform::max_name, f)) return {};
  platform::file_status status;
  const std::error_code error = platform::status_of_name(name, status);
  if (!error) return open_regular(name, status, f);
  f = {error, "open \"" + std::string(name) + '"'};
  return {};
}

channel_info inspect_file(std::string_view name, const platform::file_status& status, failure& f, inspection what) {
  const unique_handle block = open_regular(name, status, f);
  return block ? inspect_block(name, block, what) : of_file(name, status);
}

channel_info inspect_name(std::string_view name, failure& f, inspection what) {
  const unique_handle block = open_to_inspect(name, f);
  return block ? inspect_block(name, block, what) : channel_info();
}

channel_info inspect_block(std::string_view name, const unique_handle& block, inspection what, layout::identity* id) {
  platform::file_status status;
  platform::status_of(block, status);
  channel_info info = of_file(name, status);
  inspector all(block, info, what);
  all.inspect();
  if (id != nullptr) *id = all.id();
  return info;
}

}  // namespace belfry::detail
