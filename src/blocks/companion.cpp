#include "companion.hpp"

#include "../platform/bell.hpp"
#include "../platform/block.hpp"
#include "../platform/handle.hpp"
#include "../platform/lock.hpp"

#include <cstddef>
#include <cstring>
#include <span>
#include <vector>

namespace belfry::detail {
namespace {

constexpr std::string_view suffix = ".watch";
constexpr std::size_t longest_block = max_segment_name - suffix.size();

/// Read from a companion without joining it: the file may be something else, and change at any time.
struct content {
  std::uint64_t subject = 0;
  bool dirty = false;
};

bool read(const unique_handle& file, content& out) {
  const std::size_t ring = layout::header_bytes(layout::watch_state::participants, 0);
  std::vector<std::byte> bytes(ring + sizeof(layout::watch_state));
  if (!platform::peek_block(file, bytes)) return false;
  layout::identity id;
  std::memcpy(&id, bytes.data(), sizeof id);
  std::uint64_t dirty = 0;
  std::memcpy(&dirty, bytes.data() + ring + offsetof(layout::watch_state, dirty), sizeof dirty);
  out = {id.subject, dirty != 0};
  return id.magic == layout::magic && id.version == layout::version &&
         id.kind == layout::ring_kind::watch && id.segment_bytes == bytes.size();
}

/// Under the companion's roster's lock.
bool has_participants(const unique_handle& companion) {
  for (std::size_t i = 0; i != layout::watch_state::participants; ++i) {
    if (platform::is_locked_by_another(companion, layout::slot_lock(i))) return true;
  }
  return false;
}

/// Under the same lock, if there are no participants. While the name means this companion, no other companion of this
/// name has bells.
bool remove_if_over(const std::string& name, std::string_view block, const unique_handle& file) {
  content found;
  if (platform::named_block_id(name) != platform::id_of(file) || !read(file, found)) return false;
  if (found.dirty && platform::named_block_id(block) == found.subject) return false;
  for (std::size_t i = 0; i != layout::watch_state::participants; ++i) {
    platform::unlink_named_bell(bell_name(name, i));
  }
  failure f;
  return platform::unlink_block(name, f);
}

}  // namespace

std::string companion_name(std::string_view block, failure& f) {
  if (block.size() <= longest_block) return std::string(block) + std::string(suffix);
  f = {std::make_error_code(std::errc::filename_too_long),
       "the name \"" + std::string(block.substr(0, 64)) + "...\" has " +
           std::to_string(block.size()) +
           " bytes: for transactions and watches a block has a companion, NAME" +
           std::string(suffix) + ", and its own name may then have " +
           std::to_string(longest_block) + " bytes at most"};
  return {};
}

std::optional<std::string_view> block_of_companion(std::string_view name) noexcept {
  if (!name.ends_with(suffix)) return {};
  return name.substr(0, name.size() - suffix.size());
}

bool remove_companion_if_over(std::string_view block) {
  failure ignored;
  const std::string name = companion_name(block, ignored);
  if (name.empty()) return false;
  const unique_handle file =
      platform::open_guarded([&] { return platform::open_block(name, true, ignored); });
  content found;
  if (!file || !read(file, found)) return false;
  for (bool again = true; again;) {
    // If the lock is held, a participant is joining, leaving or reaping: the companion is in use.
    if (!platform::try_lock_byte(file, layout::roster_lock)) return false;
    const bool in_use = has_participants(file);
    const bool removed = !in_use && remove_if_over(name, block, file);
    platform::unlock_byte(file, layout::roster_lock);
    if (removed) return true;
    // The last participant may have left meanwhile without getting the lock, and left the removal to this process.
    again = in_use && !has_participants(file);
  }
  return false;
}

void collect_companions(const std::function<void(const std::string& companion)>& tell) {
  for (const std::string& name : platform::block_names()) {
    const auto block = block_of_companion(name);
    if (block && remove_companion_if_over(*block)) tell(name);
  }
}

}  // namespace belfry::detail
