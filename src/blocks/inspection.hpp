// What inspect() tells, below the public functions.
#pragma once

#include "../platform/block.hpp"

#include <belfry/detail/layout/layout.hpp>
#include <belfry/detail/platform/native_handle.hpp>
#include <belfry/error.hpp>
#include <belfry/inspect.hpp>

#include <string_view>

namespace belfry::detail {

/// What the system alone knows of a file.
channel_info of_file(std::string_view name, const platform::file_status& status);

/// For reading. Neither a bell nor anything else that is no regular file.
unique_handle open_to_inspect(std::string_view name, failure& f);

/// An empty name if it fails.
channel_info inspect_name(std::string_view name, failure& f, inspection what = inspection::all);
/// `status` is the name's. If it fails, of_file().
channel_info inspect_file(std::string_view name, const platform::file_status& status, failure& f,
                          inspection what = inspection::all);
/// The same of a block that is open already. Locks of this description are not seen. `id`: what the segment's identity
/// was, which has been checked if there is no problem.
channel_info inspect_block(std::string_view name, const unique_handle& block, inspection what = inspection::all,
                           layout::identity* id = nullptr);

}  // namespace belfry::detail
