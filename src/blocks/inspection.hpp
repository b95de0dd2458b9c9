// What inspect() tells, below the public functions.
#pragma once

#include "../platform/block.hpp"

#include <belfry/detail/platform/native_handle.hpp>
#include <belfry/error.hpp>
#include <belfry/inspect.hpp>

#include <string_view>

namespace belfry::detail {

/// What the system alone knows of a file.
channel_info of_file(std::string_view name, const platform::file_status& status);

/// An empty name if it fails.
channel_info inspect_name(std::string_view name, failure& f);
/// `status` is the name's. If it fails, of_file().
channel_info inspect_file(std::string_view name, const platform::file_status& status, failure& f);
/// The same of a block that is open already. Locks of this description are not seen.
channel_info inspect_block(std::string_view name, const unique_handle& block);

}  // namespace belfry::detail
