// Which companion segment a block has.
#pragma once

#include "../platform.hpp"

#include <belfry/shared_memory.hpp>

#include <cstdint>
#include <string>

namespace belfry::detail {

inline std::string companion_name(const shared_memory& block) { return block.name() + ".watch"; }

/// What the companion says of its block: `own` is a handle of it. An error if another block has its
/// name by now, to which the companion of that name belongs.
inline std::uint64_t companion_subject(const shared_memory& block, const unique_handle& own,
                                       failure& f) {
  const std::uint64_t id = platform::block_id(own);
  const std::uint64_t named = platform::named_block_id(block.name());
  if (named != 0 && named != id) {
    f = {std::make_error_code(std::errc::no_such_file_or_directory),
         '"' + block.name() + "\" is another block by now"};
  }
  return id;
}

}  // namespace belfry::detail
