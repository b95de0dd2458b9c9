#include "../machine_checks.hpp"

#include "../../platform/windows/facts.hpp"
#include "../text.hpp"

namespace belfry::cli {
namespace {

using level = diagnosis::level;

diagnosis of_version() {
  const platform::windows_version v = platform::version_of_windows();
  const std::string found = "Windows " + std::to_string(v.major_number) + '.' + std::to_string(v.minor_number) + '.' +
                            std::to_string(v.build);
  if (v.major_number >= 10) return {level::ok, "system", found, ""};
  return {level::broken, "system", found, "Belfry needs Windows 10 or later"};
}

diagnosis of_disk() {
  const std::optional<std::uint64_t> free = platform::free_for_channels();
  if (!free) return {level::broken, "disk", "%LOCALAPPDATA% cannot be read", "it has to be a directory of this user"};
  const std::string found = "where %LOCALAPPDATA% is, " + size_text(*free) + " are free";
  if (*free >= (64 << 20)) return {level::ok, "disk", found, ""};
  return {*free < (64 << 10) ? level::broken : level::note, "disk", found, "channels are files there"};
}

}  // namespace

const system_texts texts_of_system{
    "%LOCALAPPDATA% has to be a directory that this user may write to",
    "locks of files",
    "no death can be noticed: %LOCALAPPDATA% has to be on a disk of this machine",
    "let it go on",
};

std::vector<diagnosis> checks_of_system() { return {of_version(), of_disk()}; }
// There is no number of handles that a process could reach, and no barrier that reaches other processes.
std::vector<diagnosis> checks_of_limits() { return {}; }

}  // namespace belfry::cli
