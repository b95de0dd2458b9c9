// Records of servers, in a directory of their own, and the blocks that they name.
#pragma once

#include "../../src/manager/server/collect.hpp"
#include "../../src/manager/server/record.hpp"
#include "../../src/manager/server/tracked_blocks.hpp"
#include "../../src/platform/block.hpp"
#include "../../src/platform/file.hpp"
#include "support/process.hpp"
#include "support/test.hpp"

#include <filesystem>
#include <fstream>
#include <functional>
#include <set>
#include <string>
#include <vector>

#include <unistd.h>

namespace belfry::test {

inline const std::string record_address = "/somewhere/socket";

/// A run directory; removed at the end.
class record_directory {
 public:
  record_directory()
      : path_((std::filesystem::temp_directory_path() / "belfry-test-XXXXXX").string()) {
    REQUIRE(::mkdtemp(path_.data()) != nullptr);
  }
  record_directory(const record_directory&) = delete;
  record_directory& operator=(const record_directory&) = delete;
  ~record_directory() { std::filesystem::remove_all(path_); }

  const std::string& path() const { return path_; }
  std::string file() const { return detail::server_record::path_of(path_, record_address); }
  std::size_t files() const { return platform::files_in(path_).size(); }

  std::string content() const {
    std::ifstream in(file(), std::ios::binary);
    return {std::istreambuf_iterator<char>(in), {}};
  }
  void write(const std::string& what, const std::string& suffix = {}) const {
    std::ofstream(file() + suffix, std::ios::binary | std::ios::trunc) << what;
  }
  detail::server_record create() const {
    detail::failure f;
    detail::server_record r = detail::server_record::create(path_, record_address, f);
    INFO(f.what);
    REQUIRE_FALSE(f);
    REQUIRE(r);
    return r;
  }

 private:
  std::string path_;
};

inline std::set<std::string> names_in(const detail::server_record& r) {
  std::set<std::string> names;
  for (const auto& [block, order] : r.blocks()) names.insert(block.name);
  return names;
}

/// The blocks that the complete entries say.
inline std::set<std::string> names_in(std::string_view content) {
  std::set<std::string> blocks;
  for (std::size_t end; (end = content.find('\0')) != content.npos;
       content.remove_prefix(end + 1)) {
    const std::string_view entry = content.substr(0, end);
    if (entry.starts_with('+')) blocks.emplace(entry.substr(1));
    if (entry.starts_with('-')) blocks.erase(std::string(entry.substr(1)));
  }
  std::set<std::string> names;
  for (const std::string& b : blocks) names.insert(b.substr(b.find(' ') + 1));
  return names;
}

inline std::uint64_t id_of(const std::string& name) { return platform::named_block_id(name); }

struct gc_result {
  std::vector<std::pair<std::string, detail::block_fate>> told;
  detail::failure error;
};
inline gc_result collect_in(const record_directory& d) {
  gc_result r;
  const auto tell = [&](const std::string& b, detail::block_fate fate) {
    r.told.emplace_back(b, fate);
  };
  detail::collect_records(d.path(), tell, r.error);
  return r;
}

/// A process that does something to a block, and stays in that state until it is killed.
class block_user {
 public:
  explicit block_user(const std::function<void()>& use)
      : child_([&] {
          use();
          ready_.set();
          for (;;) ::pause();
        }) {
    ready_.wait();
  }
  void kill() { child_.kill(); }

 private:
  event ready_;
  child child_;
};

}  // namespace belfry::test
