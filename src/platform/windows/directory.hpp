// Where the files of blocks are: in a directory of this user and this boot, as memory does not outlive a boot, and files
// do.
#pragma once

#include <belfry/error.hpp>

#include <string>
#include <string_view>
#include <vector>

namespace belfry::platform {

/// As text, `S-1-5-…`. Empty on failure.
std::wstring user_sid(detail::failure& f);

/// `\\?\C:\Users\NAME\AppData\Local\belfry\BOOT\`, created if missing. Empty on failure.
const std::wstring& block_directory(detail::failure& f);

/// The files in it: a block that has a name; one that has no name yet; one that has lost its name, and is still in use.
inline constexpr std::wstring_view of_name = L"s-";
inline constexpr std::wstring_view of_new = L"new-";
inline constexpr std::wstring_view of_gone = L"gone-";

/// The path of a block of this name. NTFS folds case and reserves names of devices: all but small letters, digits and
/// `_.-` is written as %XX. Empty on failure: `filename_too_long`.
std::wstring path_of(std::string_view name, detail::failure& f);
/// The path of a new file, of one of these kinds.
std::wstring new_path(std::wstring_view kind, detail::failure& f);
/// The names of all blocks.
std::vector<std::string> names_of_blocks();

/// Removes what killed processes have left: files that have no name yet or any more, and directories of earlier boots.
/// Returns their names.
std::vector<std::string> sweep_directory(detail::failure& f);

}  // namespace belfry::platform
