// The files of a server.
#pragma once

#include <belfry/detail/platform/native_handle.hpp>
#include <belfry/error.hpp>

#include <cstdint>
#include <string>
#include <string_view>
#include <vector>

namespace belfry::platform {

using detail::failure;
using detail::unique_handle;

/// The directory of those files, accessible to this user alone; created if missing.
std::string run_directory(failure& f);
bool use_directory(const std::string& path, failure& f);
std::vector<std::string> files_in(const std::string& directory);

unique_handle open_file(const std::string& path, bool create, failure& f);
std::uint64_t file_id(const std::string& path) noexcept;  // as id_of(); 0 if there is none
std::string read_file(const unique_handle& file, failure& f);
/// Appends everything; on failure, nothing.
bool append_to_file(const unique_handle& file, std::string_view bytes, failure& f);
bool truncate_file(const unique_handle& file, std::uint64_t bytes, failure& f);
bool rename_file(const std::string& from, const std::string& to, failure& f);
void remove_file(const std::string& path) noexcept;

}  // namespace belfry::platform
