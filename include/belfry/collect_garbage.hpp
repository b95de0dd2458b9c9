// Cleaning up after processes that were killed.
#pragma once

#include <belfry/asio.hpp>
#include <belfry/detail/base/api.hpp>

#include <cstdint>
#include <optional>
#include <string>
#include <vector>

namespace belfry {

/// Something in shared memory that processes have left, and what has become of it.
struct garbage {
  enum class fate {
    removed,
    in_use,   ///< a block of a killed server that a living process has open: it stays until the next time
    holding,  ///< a channel or companion without living participants, which a later one may need: it stays
  };
  std::string name;
  std::string kind;  ///< as in channel_info: "block", "bells", "watch", "spsc_ring", ...
  fate is = fate::removed;
  /// As in channel_info: what a channel held.
  std::optional<std::uint64_t> unread{};
};

struct garbage_options {
  /// The directory with the records of managers' servers, as in manager_options.
  std::string run_directory{};
  /// If not empty: only channels, companions and bells with these names, and records only if `run_directory` is set.
  std::vector<std::string> names{};
  /// Also what is `holding`: channels with something unread, or of which that cannot be told; companions that would tell
  /// of a death in a transaction.
  bool holding = false;
};

/// Removes what killed processes have left and no living process uses. `belfry gc` is this, as a program.
///
///     for (const belfry::garbage& g : belfry::collect_garbage())
///       if (g.is == belfry::garbage::fate::removed) std::clog << "removed " << g.name << '\n';
///
/// That is: channels without living participants, unless something in them is unread, or their lifetime is persistent;
/// the bells of channels that are gone; the companions of blocks without living watches and transactions; the blocks of
/// killed servers of managers, with the servers' records. Nothing of another layout version, and nothing of other users,
/// unless root calls it.
///
/// An error does not stop the cleaning; the last one is thrown at the end, as std::system_error, or set. Any number of
/// threads and processes may clean up at the same time.
BELFRY_API std::vector<garbage> collect_garbage(const garbage_options& options = {});
BELFRY_API std::vector<garbage> collect_garbage(const garbage_options& options, error_code& ec);
inline std::vector<garbage> collect_garbage(error_code& ec) { return collect_garbage({}, ec); }

}  // namespace belfry
