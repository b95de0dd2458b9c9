// Where named blocks are on this platform: the directory that shm_open(3) uses.
#pragma once

#include <string>
#include <string_view>

namespace belfry::platform {

inline constexpr const char* shared_memory_directory = "/dev/shm/";

inline std::string path_of(std::string_view name) {
  return std::string(shared_memory_directory) += name;
}

}  // namespace belfry::platform
