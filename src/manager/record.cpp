#include "record.hpp"

#include <charconv>
#include <chrono>
#include <thread>
#include <utility>

namespace belfry::detail {
namespace {

using namespace std::string_view_literals;

constexpr std::string_view magic = "belfry-record-1\0"sv;
constexpr std::size_t longest_outdated = 1024;

std::string added(const std::string& name, std::uint64_t id) {
  return '+' + std::to_string(id) + ' ' + name + '\0';
}

}  // namespace

// The name may come to mean another file while we wait for the lock: only a lock on what has the name
// counts.
bool server_record::lock(const std::string& path, bool create, failure& f) {
  for (;;) {
    file_ = platform::open_file(path, create, f);
    if (f) return false;
    if (!platform::try_lock_byte(file_, 0)) {
      file_.reset();
      return false;
    }
    if (platform::file_id(path) == platform::id_of(file_)) break;
  }
  path_ = path;
  platform::guard_against_fork(file_);  // a child must not pass for a living server
  return true;
}

/// The address itself may have any characters, and any length: a hash of it, FNV-1a.
std::string server_record::path_of(const std::string& directory, std::string_view address) {
  std::uint64_t hash = 14695981039346656037u;
  for (const char c : address) hash = (hash ^ static_cast<unsigned char>(c)) * 1099511628211u;
  std::string digits(16, '0');
  for (char& digit : digits) {
    digit = "0123456789abcdef"[hash >> 60];
    hash <<= 4;
  }
  return directory + "/manager-" + digits + std::string(suffix);
}

server_record server_record::create(const std::string& directory, const std::string& address,
                                    failure& f) {
  server_record r;
  const std::string path = path_of(directory, address);
  // Whoever cleans up after our predecessor has it for a moment.
  for (int attempt = 0; attempt != 100; ++attempt) {
    if (attempt != 0) std::this_thread::sleep_for(std::chrono::milliseconds(10));
    if (r.lock(path, true, f)) break;
    if (f) return {};
  }
  if (!r.file_) {
    f = {std::make_error_code(std::errc::address_in_use),
         "there is a server at \"" + address + "\" already"};
    return {};
  }
  if (!r.read(f)) return {};
  r.address_ = address;
  if (!r.write_anew(f)) return {};
  return r;
}

server_record server_record::of_the_dead(const std::string& path, failure& f) {
  server_record r;
  if (!r.lock(path, false, f)) return {};
  if (!r.read(f)) return {};
  return r;
}

bool server_record::read(failure& f) {
  const std::string content = platform::read_file(file_, f);
  if (f) return false;
  if (content.empty()) return true;  // its server died before it had written anything
  if (!content.starts_with(magic)) {
    f = {make_error_code(errc::corrupted), '"' + path_ + "\" is not a record"};
    return false;
  }
  std::string_view rest = std::string_view(content).substr(magic.size());
  for (std::size_t end; (end = rest.find('\0')) != rest.npos; rest.remove_prefix(end + 1)) {
    const std::string_view entry = rest.substr(0, end);
    if (entry.starts_with('=')) address_ = entry.substr(1);
    if (entry.starts_with('-')) {
      if (const auto found = blocks_.find(entry.substr(1)); found != blocks_.end())
        blocks_.erase(found);
    }
    if (entry.starts_with('+')) {
      std::uint64_t id = 0;
      const auto [space, error] =
          std::from_chars(entry.data() + 1, entry.data() + entry.size(), id);
      if (error != std::errc() || space == entry.data() + entry.size()) continue;
      const std::string_view name =
          entry.substr(static_cast<std::size_t>(space - entry.data()) + 1);
      blocks_[std::string(name)] = {id, ++order_};
    }
  }
  return true;
}

bool server_record::append(std::string_view entry, failure& f) {
  if (!platform::append_to_file(file_, entry, f)) return false;
  if (outdated_ > longest_outdated + blocks_.size()) return write_anew(f);
  return true;
}

bool server_record::add(const std::string& name, std::uint64_t id, failure& f) {
  if (!append(added(name, id), f)) return false;
  const auto [entry, is_new] = blocks_.insert_or_assign(name, block{id, ++order_});
  if (!is_new) ++outdated_;
  return true;
}

bool server_record::remove(const std::string& name, failure& f) {
  blocks_.erase(name);
  outdated_ += 2;
  return append('-' + name + '\0', f);
}

bool server_record::write_anew(failure& f) {
  std::string content(magic);
  content += '=' + address_ + '\0';
  for (const auto& [name, b] : blocks_) content += added(name, b.id);

  server_record next;
  const std::string path = path_ + ".new";
  if (!next.lock(path, true, f)) {
    if (!f)
      f = {std::make_error_code(std::errc::device_or_resource_busy), '"' + path + "\" is locked"};
    return false;
  }
  // What is in it is a dead one's attempt at the same.
  const bool done = platform::truncate_file(next.file_, f) &&
                    platform::append_to_file(next.file_, content, f) &&
                    platform::rename_file(path, path_, f);
  if (!done) {
    platform::remove_file(path);
    return false;
  }
  file_ = std::move(next.file_);
  outdated_ = 0;
  return true;
}

void server_record::discard() noexcept {
  if (!file_) return;
  platform::remove_file(path_);
  file_.reset();
}

}  // namespace belfry::detail
