// The blocks that a server is responsible for. Thread-safe.
#pragma once

#include "record.hpp"

#include <cstdint>
#include <mutex>
#include <string>
#include <vector>

namespace belfry::detail {

class tracked_blocks {
 public:
  /// What is in the record, left by a predecessor, is tracked; but for what nobody uses any more, which is
  /// removed now.
  explicit tracked_blocks(server_record record);
  /// Leaves everything to a successor; see unlink_all().
  ~tracked_blocks() = default;

  /// From now on the block is ours to remove. `id` tells it from another one of its name; 0: whatever has
  /// the name now.
  bool track(const std::string& name, std::uint64_t id, failure& f);
  /// Removes the block. `std::errc::no_such_file_or_directory` if it is not tracked. With an `id`: that one
  /// alone, whoever has the name meanwhile.
  bool release(const std::string& name, std::uint64_t id, failure& f);
  /// As they were tracked.
  std::vector<std::string> names() const;
  /// Removes all blocks, and the record. Nothing can be tracked any more.
  void unlink_all() noexcept;

 private:
  mutable std::mutex mutex_;
  server_record record_;
};

/// What became of a block whose server is dead.
enum class block_fate {
  removed,
  gone,    ///< there is no such block any more, or another one has its name
  in_use,  ///< by a living process
};
/// Removes the block unless a living process has it open.
block_fate remove_if_unused(const std::string& name, std::uint64_t id);

}  // namespace belfry::detail
