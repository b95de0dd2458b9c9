#include "removal.hpp"

#include "../platform/bell.hpp"
#include "../platform/block.hpp"
#include "../platform/handle.hpp"
#include "../platform/lock.hpp"
#include "../segment/roster_guard.hpp"
#include "inspection.hpp"

#include <belfry/detail/segment/segment.hpp>
#include <belfry/remove.hpp>
#include <belfry/shared_memory.hpp>

namespace belfry {
namespace detail {
namespace {

bool has_participants(const unique_handle& segment) {
  return platform::is_any_locked_by_another(segment, layout::slot_lock(0));
}

bool holds_nothing(const channel_info& info) {
  if (!info.problem.empty()) return false;
  if (info.kind == "call_ring") return true;  // a call ends with its client
  return info.kind == "watch" ? !info.dirty || info.orphaned : info.unread == 0 && info.dead.value_or(0) == 0;
}

/// What happens to it if no participant is alive. Under the roster's lock, which every newcomer needs.
segment_fate examine(const channel_info& info, const removal_rules& rules) {
  if (info.version == 0) return segment_fate::gone;
  if (info.lifetime == lifetime::persistent && !rules.persistent) return segment_fate::persistent;
  return rules.holding || holds_nothing(info) ? segment_fate::removed : segment_fate::holding;
}

/// As segment::unlink(): the bells first, because once the name is free, another segment may take it.
segment_fate remove_names(std::string_view name, failure& f) {
  for (std::size_t i = 0; i != layout::max_participants; ++i)
    platform::unlink_named_bell(bell_name(name, i));
  return platform::unlink_block(name, f) ? segment_fate::removed : segment_fate::refused;
}

}  // namespace

segment_fate remove_segment(std::string_view name, const removal_rules& rules, failure& f) {
  failure not_opened;
  const unique_handle block =
      platform::open_guarded([&] { return platform::open_block(name, true, not_opened); });
  if (not_opened.code == std::errc::no_such_file_or_directory) return segment_fate::gone;
  f = not_opened;
  if (block && !platform::owns(block)) {
    f = {std::make_error_code(std::errc::operation_not_permitted),
         '"' + std::string(name) + "\" belongs to another user"};
  }
  if (f) return segment_fate::refused;
  for (;;) {
    {
      const roster_guard lock(block,
                              rules.in_use ? roster_guard::try_for_a_moment : roster_guard::only_try);
      if (!lock && !rules.in_use) return segment_fate::in_use;
      if (!platform::is_name_of(name, block)) return segment_fate::gone;
      if (rules.in_use || !has_participants(block)) {
        const segment_fate fate = examine(inspect_block(name, block), rules);
        return fate == segment_fate::removed ? remove_names(name, f) : fate;
      }
    }
    // The last participant may have left meanwhile without getting the lock, and left the removal to this process.
    if (has_participants(block)) return segment_fate::in_use;
  }
}

// No lock protects a name that is gone. If a new segment of this name appears between the last look and the removal,
// one of its bells may lose its name: then it is opened through its owner.
std::size_t remove_stray_bells(std::string_view segment) {
  std::size_t removed = 0;
  for (std::size_t i = 0; i != layout::max_participants; ++i) {
    const std::string name = bell_name(segment, i);
    const std::uint64_t id = platform::named_bell_id(name);
    if (id == 0 || !platform::is_deserted_bell(name)) continue;
    if (platform::named_block_id(segment) != 0 || platform::named_bell_id(name) != id) continue;
    platform::unlink_named_bell(name);
    removed += platform::named_bell_id(name) != id;
  }
  return removed;
}

namespace {

failure in_use(std::string_view name, const std::string& whom) {
  return {std::make_error_code(std::errc::device_or_resource_busy),
          '"' + std::string(name) + "\" is in use" + whom};
}

/// The processes that are in it, as far as the segment tells.
std::string users_of(const channel_info& info) {
  std::string pids;
  for (const participant_info& p : info.participants) {
    if (p.alive) pids += (pids.empty() ? " by process " : ", ") + std::to_string(p.pid);
  }
  return pids;
}

void remove_channel(const channel_info& info, bool force, failure& f) {
  const removal_rules rules{.holding = true, .persistent = true, .in_use = force};
  switch (remove_segment(info.name, rules, f)) {
    case segment_fate::removed:
    case segment_fate::refused: return;
    case segment_fate::in_use: f = in_use(info.name, users_of(info)); return;
    case segment_fate::gone:
    case segment_fate::holding:
    case segment_fate::persistent: break;
  }
  f = {std::make_error_code(std::errc::no_such_file_or_directory),
       '"' + info.name + "\" was removed or replaced meanwhile"};
}

/// No roster tells which processes use a block, but the kernel does, of this user's blocks.
void remove_block(std::string_view name, bool force, failure& f) {
  {
    const unique_handle block = force ? unique_handle() : platform::open_block(name, false, f);
    if (f) return;
    if (!force && !platform::is_unused_by_others(block)) {
      f = in_use(name, platform::owns(block) ? "" : ", or belongs to another user");
      return;
    }
  }
  error_code ec;
  shared_memory::unlink(name, ec);
  if (ec) f = {ec, "unlink \"" + std::string(name) + '"'};
}

void remove_name(std::string_view name, bool force, failure& f) {
  const channel_info info = inspect_name(name, f);
  if (f.code == std::errc::no_such_file_or_directory && remove_stray_bells(name) != 0) f = {};
  if (f || info.name.empty()) return;
  if (info.version == 0)
    remove_block(name, force, f);
  else
    remove_channel(info, force, f);
}

}  // namespace
}  // namespace detail

void remove(std::string_view name, removal how) {
  detail::failure f;
  detail::remove_name(name, how == removal::forced, f);
  if (f) f.raise();
}

void remove(std::string_view name, removal how, error_code& ec) {
  detail::failure f;
  detail::remove_name(name, how == removal::forced, f);
  ec = detail::to_net(f.code);
}

}  // namespace belfry
