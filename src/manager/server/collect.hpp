// Cleaning up after servers that were killed.
#pragma once

#include <belfry/error.hpp>

#include <functional>
#include <string>

namespace belfry::detail {

enum class block_fate;

/// Goes through the records of the directory whose servers are dead, and removes what they were responsible
/// for and nobody uses. What is still in use stays in its record, for the next time. `tell` is called for
/// every block.
void collect_garbage(const std::string& directory,
                     const std::function<void(const std::string& block, block_fate)>& tell,
                     failure& f);

}  // namespace belfry::detail
