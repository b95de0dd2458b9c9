// What a server leaves behind when it is killed: a file in the run directory that says which blocks it was
// responsible for. It is locked as long as its server lives; whoever gets the lock may clean up.
//
//   belfry-record-1 \0   then, each ended by a NUL:   = address    + id name    - id name
//
// `id` is the block's inode, in decimal, or 0 if there was no such block yet. Entries are appended; who
// dies while it appends leaves one without its end, which does not count. A file that has become long is
// written anew under another name, `.new`, and then renamed.
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
    std::uint64_t id;  // its inode
    friend auto operator<=>(const block&, const block&) = default;
  };
  /// And the order in which they were tracked. Several may be about to get the same name.
  using entries = std::map<block, std::uint64_t>;

  static constexpr std::string_view suffix = ".record";

  server_record() noexcept = default;

  /// The record of a server at this address, of which there can be only one at a time:
  /// `std::errc::address_in_use`. What a predecessor had in it is in blocks().
  static server_record create(const std::string& directory, const std::string& address, failure& f);

  static std::string path_of(const std::string& directory, std::string_view address);
  /// That of a server which is dead; none, and no failure, if it lives.
  static server_record of_the_dead(const std::string& path, failure& f);

  explicit operator bool() const noexcept { return static_cast<bool>(file_); }
  const std::string& address() const noexcept { return address_; }
  const entries& blocks() const noexcept { return blocks_; }
  std::vector<block> blocks_in_order() const;
  /// There was a server at this address, which has been killed.
  bool had_predecessor() const noexcept { return had_predecessor_; }

  bool add(const block& b, failure& f);
  bool remove(const block& b, failure& f);
  /// Removes the file: nothing is left to be cleaned up.
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
