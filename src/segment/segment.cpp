#include "../base/clock.hpp"
#include "../platform/bell.hpp"
#include "../platform/block.hpp"
#include "../platform/handle.hpp"
#include "../platform/lock.hpp"
#include "../platform/machine.hpp"
#include "../platform/memory.hpp"
#include "../platform/owner.hpp"
#include "../platform/process.hpp"
#include "identity.hpp"
#include "log.hpp"

#include <belfry/detail/segment/segment.hpp>

#include <algorithm>
#include <chrono>
#include <new>
#include <span>
#include <thread>

namespace belfry::detail {
namespace {

/// Builds the header in the block's raw, zeroed bytes.
bool build_header(const mapping& map, described_segment& wanted, failure& f) {
  layout::identity& id = wanted.id;
  if (!platform::fill_random(id.segment_id, f)) return false;
  id.process_namespace = platform::process_namespace();
  id.creator = platform::process_id();
  id.program = platform::program_name();
  id.created = now_since_1970();
  auto* header = new (map.data()) layout::control_header{};
  for (std::size_t i = 0; i < participants(id); ++i) {
    new (map.data() + sizeof *header + i * sizeof(layout::participant_slot))
        layout::participant_slot{};
  }
  header->id = id;
  std::ranges::copy(std::as_bytes(std::span(wanted.description)),
                    map.data() + layout::description_offset(participants(id)));
  return true;
}

mapping map_segment(const unique_handle& block, const ring_traits& traits,
                    const layout::identity& id, failure& f) {
  const ring_layout shape = traits.layout(size_of_ring(id));
  return platform::map_block(block, id.segment_bytes, shape.mirrored, true, f);
}

ring_memory ring_in(const mapping& map, const layout::identity& id) noexcept {
  return {.at = map.data() + id.ring_offset,
          .bytes = id.ring_bytes,
          .capacity = id.capacity,
          .participants = participants(id),
          .kind = id.kind,
          .abi_fingerprint = id.abi_fingerprint,
          .value_bytes = id.value_bytes,
          .message_bytes = id.message_bytes,
          .max_deliveries = id.max_deliveries,
          .lease_timeout = id.lease_timeout,
          .places = id.places};
}

/// Builds header and ring, mapped through this description. Empty on failure.
mapping build(const unique_handle& block, const ring_traits& traits, described_segment& wanted,
              failure& f) {
  mapping map = map_segment(block, traits, wanted.id, f);
  if (!map || !build_header(map, wanted, f)) return {};
  traits.construct(ring_in(map, wanted.id));
  return map;
}

unique_handle guarded_copy(const unique_handle& block, failure& f) {
  return platform::open_guarded([&] { return platform::reopen_block(block.get(), true, f); });
}

/// Refuses names that are reserved for bells and companions.
bool check_name(std::string_view name, bool companion, failure& f) {
  if (!platform::check_name(name, max_segment_name, f)) return false;
  const auto refuse = [&](const char* whose) {
    f = {std::make_error_code(std::errc::invalid_argument),
         "the name \"" + std::string(name) + "\" is reserved for " + whose};
    return false;
  };
  if (segment_of_bell(name)) return refuse("another channel's bell");
  if (!companion && name.ends_with(".watch")) return refuse("a block's companion");
  return true;
}

/// The text of a segment of any origin; empty if there is none.
std::string read_description(const unique_handle& block, const layout::identity& id) {
  const std::size_t count = participants(id);
  if (count > layout::max_participants || id.description_bytes > layout::max_description) return {};
  const std::size_t begin = layout::description_offset(count);
  std::string bytes(begin + id.description_bytes, '\0');
  if (!platform::peek_block(block, std::as_writable_bytes(std::span(bytes)))) return {};
  return bytes.substr(begin);
}

bool make_bells(std::size_t count, segment_handles& handles, failure& f) {
  for (std::size_t i = 0; i < count; ++i) {
    handles.bells.push_back(platform::new_anonymous_bell(f));
    if (!handles.bells.back()) return false;
  }
  return true;
}

/// Waits for the roster's lock of a segment without being a participant. The wait is limited, because the caller must
/// be able to remove the segment even if a participant was stopped while it held the lock. This does harm in one case:
/// if that participant was about to unlink the name, and continues when the name means another segment.
void await_lock(const unique_handle& block) {
  for (int attempt = 0; attempt != 100 && !platform::try_lock_byte(block, layout::roster_lock);
       ++attempt) {
    std::this_thread::sleep_for(std::chrono::milliseconds(attempt < 10 ? 1 : 10));
  }
}

}  // namespace

std::string bell_name(std::string_view segment, std::size_t slot) {
  return std::string(segment) + ".bell." + std::to_string(slot);
}

std::optional<std::string_view> segment_of_bell(std::string_view name) noexcept {
  constexpr std::string_view between = ".bell.";
  const std::size_t digits = name.find_last_not_of("0123456789") + 1;
  if (digits == name.size() || !name.substr(0, digits).ends_with(between)) return {};
  return name.substr(0, digits - between.size());
}

segment segment::create_or_open(std::string_view name, const ring_traits& traits,
                                const channel_options& options, failure& f, const subject& block) {
  if (!check_name(name, block.id != 0, f) || !check_mode(options.mode, name, f)) return {};
  if (!check_options(traits, options, f)) return {};

  segment s;
  s.name_ = name;
  s.traits_ = &traits;
  s.subject_ = block;
  for (int attempts = 10;;) {
    f = {};
    s.block_ = platform::open_guarded([&] { return platform::open_block(name, true, f); });
    if (s.block_) return s.check(options, f) && s.map(f) ? std::move(s) : segment();
    if (f.code != std::errc::no_such_file_or_directory) return {};
    if (traits.any) {
      f.what = "there is no channel \"" + s.name_ + '"';
      return {};
    }

    f = {};
    described_segment wanted = segment_for(traits, options);
    wanted.id.subject = block.id;
    const unique_handle made = platform::new_block(wanted.id.segment_bytes, options.mode, f);
    if (f.code == std::errc::no_space_on_device && --attempts != 0) {
      // Perhaps another process is creating the same segment, and publishes it soon. Or both take the space from each
      // other: the random pause separates them.
      std::uint8_t chance = 0;
      failure ignored;
      platform::fill_random(std::as_writable_bytes(std::span(&chance, 1)), ignored);
      std::this_thread::sleep_for(std::chrono::microseconds(10) * chance);
      continue;
    }
    const platform::ownership of_block{block.owner, block.group, options.mode};
    if (made && block.id != 0 && !platform::give_to_users(made, of_block, f)) return {};
    // The name comes last: a failure before it leaves nothing behind. The memory is mapped through the description that
    // created it, and locked through another one, as in map().
    if (!made || !(s.map_ = build(made, traits, wanted, f))) return {};
    s.id_ = wanted.id;
    s.ring_ = ring_in(s.map_, s.id_);
    s.block_ = guarded_copy(made, f);
    if (!s.block_) return {};
    if (platform::publish_block(s.block_, name, f)) {
      log(log_level::debug, "created", name, {{"bytes", digits(s.id_.segment_bytes)}});
      return s;
    }
    if (f.code != std::errc::file_exists) return {};
    // Another process was faster: join its segment.
  }
}

segment segment::attach(const segment_handles& handles, const ring_traits& traits,
                        const channel_options& options, failure& f,
                        std::unique_ptr<manager_session> session) {
  if (!check_options(traits, options, f)) return {};
  segment s;
  s.traits_ = &traits;
  s.session_ = std::move(session);
  if (!platform::check_sealed(handles.block, f)) return {};
  s.block_ = guarded_copy(handles.block, f);
  if (!s.block_) return {};
  for (const unique_handle& bell : handles.bells) {
    if (!platform::is_anonymous_bell(bell)) {
      f = {make_error_code(errc::incompatible), "one of the handles is not a bell"};
      return {};
    }
    std::error_code error;
    s.bells_.push_back(platform::open_anonymous_bell(bell, error));
    if (!s.bells_.back()) {
      f = {error, "open a bell"};
      return {};
    }
  }
  if (!s.check(options, f) ||
      !same("number of bells", handles.bells.size(), s.participants(), "the handles", f)) {
    return {};
  }
  // Without a name deaths are watched by pid, and a pid from another namespace means another process. With a session,
  // the manager reports deaths as well.
  s.knows_pids_ = s.id_.process_namespace == platform::process_namespace();
  if (!s.session_ && !same("PID namespace", s.id_.process_namespace, platform::process_namespace(),
                            "the handles", f)) {
    return {};
  }
  return s.map(f) ? std::move(s) : segment();
}

segment_handles segment::create_anonymous(const ring_traits& traits, const channel_options& options,
                                          failure& f) {
  segment_handles handles;
  if (!check_options(traits, options, f)) return {};
  described_segment wanted = segment_for(traits, options);
  handles.block = platform::new_anonymous_block(wanted.id.segment_bytes, f);
  if (!handles.block || !build(handles.block, traits, wanted, f)) return {};
  return make_bells(detail::participants(wanted.id), handles, f) ? std::move(handles) : segment_handles();
}

segment_handles segment::create_described(const described_segment& given, failure& f) {
  described_segment wanted = given;
  const layout::identity& id = wanted.id;
  if (!plausible(wanted)) {
    f = {make_error_code(errc::incompatible), "not a valid description of a segment"};
    return {};
  }
  segment_handles handles;
  handles.block = platform::new_anonymous_block(id.segment_bytes, f);
  if (!handles.block) return {};
  const mapping map = platform::map_block(handles.block, id.header_bytes, 0, true, f);
  if (!map || !build_header(map, wanted, f)) return {};
  return make_bells(detail::participants(id), handles, f) ? std::move(handles) : segment_handles();
}

bool segment::create_as_described(std::string_view name, const described_segment& given, unsigned mode, failure& f) {
  described_segment wanted = given;
  if (!check_name(name, false, f)) return false;
  const unique_handle made = platform::new_block(wanted.id.segment_bytes, mode, f);
  if (!made) return false;
  const mapping map = platform::map_block(made, wanted.id.header_bytes, 0, true, f);
  return map && build_header(map, wanted, f) && platform::publish_block(made, name, f);
}

// Under the roster's lock, as every removal of a segment's name or bells: while it is held the name cannot come to
// mean another segment, whose name or bells would then be removed. The bells are removed first, because once the name
// is free another segment may take it. A process killed in between leaves a channel whose bells are reached through
// their owners; if it has no participants, the next participant to join and leave removes it.
bool segment::unlink(std::string_view name, failure& f) {
  if (!check_name(name, false, f)) return false;
  for (;;) {
    failure not_opened;
    const unique_handle block =
        platform::open_guarded([&] { return platform::open_block(name, true, not_opened); });
    if (block && platform::owns(block)) {
      await_lock(block);
      if (!platform::is_name_of(name, block)) continue;  // removed meanwhile, perhaps created again
      // The header may be damaged, and need not be this channel's.
      for (std::size_t i = 0; i != layout::max_participants; ++i)
        platform::unlink_named_bell(bell_name(name, i));
    }
    return platform::unlink_block(name, f);
  }
}

// Everything is checked in a private copy, before anything is mapped: a truncated file or a header that changes
// meanwhile can do no harm.
bool segment::check(const channel_options& options, failure& f) {
  const std::string label = named() ? title() : "the handles";
  if (named() && !platform::check_owner(block_, name_, options.mode, subject_.owner, f)) return false;
  const std::uint64_t size = platform::block_size(block_, f);
  if (f) return false;
  if (!platform::peek_block(block_, std::as_writable_bytes(std::span(&id_, 1)))) {
    f = {make_error_code(errc::incompatible),
         label + ": the size is " + std::to_string(size) + " bytes, too small for a control header"};
    return false;
  }
  if (traits_->any) {
    traits_ = traits_->of_segment(id_, size, label, f);
    return traits_ != nullptr &&
           (options.capacity == 0 || same("capacity", id_.capacity, traits_->capacity(options.capacity), label, f)) &&
           (options.slots == 0 || same("number of slots", id_.capacity, traits_->capacity(options.slots), label, f)) &&
           (options.message_bytes == 0 || same("size of the largest message", id_.message_bytes,
                                               traits_->message_bytes(options.message_bytes), label, f)) &&
           same("block it belongs to", id_.subject, 0, label, f);
  }
  described_segment found{id_, {}};
  if (id_.type_fingerprint != traits_->type_fingerprint) found.description = read_description(block_, id_);
  return check_identity(found, size, *traits_, options, label, f) &&
         (subject_.id != 0 || same("block it belongs to", id_.subject, 0, label, f));
}

bool segment::has_lost_subject() const noexcept {
  return id_.subject != 0 && platform::named_memory_id(subject_.name) != id_.subject;
}

bool segment::replace(failure& f) {
  if (platform::named_memory_id(subject_.name) != subject_.id) {
    f = {std::make_error_code(std::errc::no_such_file_or_directory),
         '"' + subject_.name + "\" now names another block, or none"};
    return false;
  }
  for (std::size_t i = 0; i != participants(); ++i)
    platform::unlink_named_bell(bell_name(name_, i));
  platform::unlink_this_block(name_, block_);
  if (!platform::has_name(block_, name_)) return true;
  f = {std::make_error_code(std::errc::operation_not_permitted), "unlink \"" + name_ + '"'};
  return false;
}

bool segment::map(failure& f) {
  // Through its own description: a mapping keeps its description alive, and a forked child inherits mappings. The locks
  // of this participant must not live on in the child.
  const unique_handle for_mapping = platform::handle_to_map(block_.get(), true, f);
  if (!for_mapping) return false;
  map_ = map_segment(for_mapping, *traits_, id_, f);
  if (!map_) return false;
  ring_ = ring_in(map_, id_);
  return true;
}

// The slot names the inode of its bell, unless its owner died before it could store it (0).
void segment::remove_bell(std::size_t index) const noexcept {
  if (!named()) return;
  const std::string name = bell_name(name_, index);
  const std::uint64_t id = slot(index).bell.load(std::memory_order_relaxed);
  const bool ours = id != 0 ? platform::named_bell_id(name) == id : platform::has_name(block_, name_);
  if (ours) platform::unlink_named_bell(name);
}

void segment::discard() noexcept {
  if (named()) platform::unlink_this_block(name_, block_);
  discarded_ = true;
}

void segment::departed() noexcept {
  if (session_) session_->leave(discarded_);
}

void segment::release_block() noexcept {
  block_.reset();
  bells_.clear();
  session_.reset();
}

}  // namespace belfry::detail
