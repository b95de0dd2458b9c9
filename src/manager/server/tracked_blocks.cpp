
#include "tracked_blocks.hpp"

#include "../../blocks/companion.hpp"
#include "../../platform/block.hpp"

#include <unordered_set>
#include <utility>

namespace belfry::detail {
namespace {

bool is_this(const std::string& name, std::uint64_t id) {
  const std::uint64_t found = platform::named_block_id(name);
  return found != 0 && (id == 0 || found == id);
}

void remove_block(const std::string& name) {
  failure ignored;
  platform::unlink_block(name, ignored);
  remove_companion_if_over(name);
}

}  // namespace

block_fate remove_if_unused(const std::string& name, std::uint64_t id) {
  failure f;
  if (!platform::check_name(name, platform::max_name, f)) return block_fate::gone;
  const unique_handle block = platform::open_block(name, false, f);
  if (f.code == std::errc::no_such_file_or_directory || f.code == errc::incompatible)
    return block_fate::gone;
  if (!block) return block_fate::in_use;  // by which process, we cannot see
  if (id != 0 && platform::id_of(block) != id) return block_fate::gone;
  if (!platform::is_unused_by_others(block)) return block_fate::in_use;
  remove_block(name);
  return block_fate::removed;
}

tracked_blocks::tracked_blocks(server_record record) : record_(std::move(record)) {
  for (const server_record::block& b : record_.blocks_in_order()) {
    failure ignored;
    if (remove_if_unused(b.name, b.id) != block_fate::in_use) record_.remove(b, ignored);
  }
}

bool tracked_blocks::track(const std::string& name, std::uint64_t id, failure& f) {
  if (!platform::check_name(name, platform::max_name, f)) return false;
  const std::scoped_lock lock(mutex_);
  if (!record_) {
    f = {make_error_code(errc::closed), "the server is shutting down"};
    return false;
  }
  return record_.add({name, id != 0 ? id : platform::named_block_id(name)}, f);
}

bool tracked_blocks::release(const std::string& name, std::uint64_t id, failure& f) {
  const std::scoped_lock lock(mutex_);
  std::vector<server_record::block> meant;
  for (auto b = record_.blocks().lower_bound({name, id}); b != record_.blocks().end(); ++b) {
    if (b->first.name != name || (id != 0 && b->first.id != id)) break;
    meant.push_back(b->first);
  }
  if (meant.empty()) {
    f = {std::make_error_code(std::errc::no_such_file_or_directory),
         '"' + name + "\" is not tracked"};
    return false;
  }
  for (const server_record::block& b : meant) {
    if (is_this(b.name, b.id)) remove_block(b.name);
    if (!record_.remove(b, f)) return false;
  }
  return true;
}

std::vector<std::string> tracked_blocks::names() const {
  const std::scoped_lock lock(mutex_);
  std::vector<std::string> all;
  std::unordered_set<std::string> seen;
  for (server_record::block& b : record_.blocks_in_order()) {
    if (seen.insert(b.name).second) all.push_back(std::move(b.name));
  }
  return all;
}

void tracked_blocks::unlink_all() noexcept {
  const std::scoped_lock lock(mutex_);
  if (!record_) return;
  for (const auto& [b, order] : record_.blocks()) {
    if (is_this(b.name, b.id)) remove_block(b.name);
  }
  record_.discard();
}

}  // namespace belfry::detail
