// Cleaning up after processes that were killed.
#pragma once

#include <belfry/asio.hpp>
#include <belfry/detail/base/api.hpp>
#include <belfry/error.hpp>

#include <functional>
#include <string_view>

namespace belfry {

/// What has become of a block, or companion of a block, that killed processes have left.
enum class garbage {
  removed,
  in_use,  ///< a living process has it open; it stays, until the next time
};

/// Removes what killed processes have left and no living process uses: the blocks of killed servers of managers, with
/// the servers' records, and the companions of blocks whose watches and transactions were all killed. `belfry gc` is
/// this, as a program.
///
///     belfry::collect_garbage([](std::string_view name, belfry::garbage what) {
///       if (what == belfry::garbage::removed) std::clog << "removed " << name << '\n';
///     });
///
/// `tell`, unless it is empty, is called for each of them. `run_directory`: the directory with the records, as in
/// manager_options. An error does not stop the cleaning; the last one is thrown at the end, as std::system_error. Any
/// number of threads and processes may clean up at the same time.
BELFRY_API void collect_garbage(const std::function<void(std::string_view name, garbage what)>& tell = {},
                                std::string_view run_directory = {});
/// The same. Sets `ec`.
BELFRY_API void collect_garbage(const std::function<void(std::string_view name, garbage what)>& tell,
                                std::string_view run_directory, error_code& ec);

}  // namespace belfry
