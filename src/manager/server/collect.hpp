// Cleaning up after servers that were killed.
#pragma once

#include <belfry/error.hpp>

#include <functional>
#include <string>

namespace belfry::detail {

enum class block_fate;

/// For every record in the directory whose server is dead: removes the blocks that it tracked and that no
/// process uses. The others stay in the record for the next time. `tell` is called for every block.
void collect_records(const std::string& directory,
                     const std::function<void(const std::string& block, block_fate)>& tell,
                     failure& f);

}  // namespace belfry::detail
