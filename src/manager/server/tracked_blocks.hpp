// The blocks that a server tracks, and removes when it ends. Thread-safe.
#pragma once

#include "record.hpp"

#include <cstdint>
#include <mutex>
#include <string>
#include <vector>

namespace belfry::detail {

class tracked_blocks {
 public:
  /// Takes over the blocks in a predecessor's record. Those that no process uses any more are removed now.
  explicit tracked_blocks(server_record record);
  /// Leaves everything to a successor; see unlink_all().
  ~tracked_blocks() = default;

  /// From now on this server removes the block. `id` tells it from another one of the same name; 0: whichever
  /// block has the name when it is removed.
  bool track(const std::string& name, std::uint64_t id, failure& f);
  /// Removes the block. `std::errc::no_such_file_or_directory` if it is not tracked. With an `id`: only that
  /// block, even if another one has the name meanwhile.
  bool release(const std::string& name, std::uint64_t id, failure& f);
  /// In the order in which they were tracked.
  std::vector<std::string> names() const;
  /// Removes all blocks, and the record. Then nothing can be tracked any more.
  void unlink_all() noexcept;

 private:
  mutable std::mutex mutex_;
  server_record record_;
};

/// What happened to a block whose server is dead.
enum class block_fate {
  removed,
  gone,    ///< the block does not exist any more, or another one has its name
  in_use,  ///< by a living process
};
/// Removes the block unless a living process has it open.
block_fate remove_if_unused(const std::string& name, std::uint64_t id);

}  // namespace belfry::detail
