// The record by which others clean up after a killed server: a file in the run directory with the blocks that
// the server tracked. The server locks it as long as it lives; a process that gets the lock may clean up.
//
//   belfry-record-1 \0   then, each ended by a NUL:   = address    + id name    - id name
//
// `id` is the block's inode, in decimal, or 0 if the block did not exist yet. Entries are appended. If the
// server dies while it appends, the last entry has no end and is ignored. When the file has become long, the
// server writes a new one with the suffix `.new` and renames it.
#pragma once

#include <belfry/detail/platform/native_handle.hpp>
#include <belfry/error.hpp>

#include <cstdint>
#include <map>
#include <string>
#include <string_view>
#include <vector>

namespace belfry::detail {

class server_record {
 public:
  struct block {
    std::string name;
    std::uint64_t id;  // inode
    friend auto operator<=>(const block&, const block&) = default;
  };
  /// Each with the order in which it was tracked. Several blocks may be about to get the same name.
  using entries = std::map<block, std::uint64_t>;

  static constexpr std::string_view suffix = ".record";

  server_record() noexcept = default;

  /// The record of a server at this address. There can be only one at a time: otherwise
  /// `std::errc::address_in_use`. Its blocks() are those that a dead predecessor tracked.
  static server_record create(const std::string& directory, const std::string& address, failure& f);

  static std::string path_of(const std::string& directory, std::string_view address);
  /// The record of a dead server; an empty one, without a failure, if the server lives.
  static server_record of_the_dead(const std::string& path, failure& f);

  explicit operator bool() const noexcept { return static_cast<bool>(file_); }
  const std::string& address() const noexcept { return address_; }
  const entries& blocks() const noexcept { return blocks_; }
  std::vector<block> blocks_in_order() const;
  /// A killed server has left a record at this address.
  bool had_predecessor() const noexcept { return had_predecessor_; }

  bool add(const block& b, failure& f);
  bool remove(const block& b, failure& f);
  /// Removes the file, when nothing is left to clean up.
  void discard() noexcept;

 private:
  static constexpr std::size_t longest_outdated = 1024;

  bool lock(const std::string& path, bool create, failure& f);
  bool read(failure& f);
  bool append(std::string_view entry, failure& f);
  bool write_anew(failure& f);

  std::string path_;
  unique_handle file_;
  std::string address_;
  entries blocks_;
  bool had_predecessor_ = false;
  std::uint64_t order_ = 0;
  std::size_t outdated_ = 0;  // entries that no longer count
};

}  // namespace belfry::detail
