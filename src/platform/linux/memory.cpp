// The named memory of users: blocks, as segments are.
#include "../memory.hpp"

namespace belfry::platform {

std::string_view prefix_of_names() noexcept { return "psm_"; }

memory_handle new_memory(std::uint64_t bytes, unsigned mode, failure& f) { return {new_block(bytes, mode, f), {}}; }

bool publish_memory(memory_handle& memory, mapping&, contents, std::string_view name, unsigned, failure& f) {
  return publish_block(memory.block, name, f);
}

memory_handle open_memory(std::string_view name, bool writable, failure& f) { return {open_block(name, writable, f), {}}; }

memory_handle reopen_memory(const memory_handle& memory, bool writable, failure& f) {
  return {reopen_block(memory.block.get(), writable, f), {}};
}

bool unlink_memory(std::string_view name, failure& f) { return unlink_block(name, f); }

std::uint64_t memory_size(const unique_handle& memory, failure& f) { return block_size(memory, f); }

mapping map_memory(const unique_handle& memory, std::uint64_t bytes, bool writable, failure& f) {
  return map_block(memory, bytes, 0, writable, f);
}

std::uint64_t id_of(const memory_handle& memory) noexcept { return id_of(memory.block); }

std::uint64_t named_memory_id(std::string_view name) noexcept { return named_block_id(name); }

bool memory_has_locks() noexcept { return true; }

}  // namespace belfry::platform
