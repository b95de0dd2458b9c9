#include "record.hpp"

#include "../../platform/block.hpp"
#include "../../platform/file.hpp"
#include "../../platform/handle.hpp"
#include "../../platform/lock.hpp"

#include <algorithm>
#include <charconv>
#include <chrono>
#include <thread>
#include <utility>

namespace belfry::detail {
namespace {

using namespace std::string_view_literals;

constexpr std::string_view magic = "belfry-record-1\0"sv;

std::string entry_of(char kind, const server_record::block& b) {
  return kind + std::to_string(b.id) + ' ' + b.name + '\0';
}

/// Parses `id name`; false if it is malformed.
bool read_block(std::string_view text, server_record::block& b) {
  const char* const end = text.data() + text.size();
  const auto [space, error] = std::from_chars(text.data(), end, b.id);
  if (error != std::errc() || space == end || *space != ' ') return false;
  b.name.assign(space + 1, end);
  return true;
}

}  // namespace

// The path may have been given to another file while we waited for the lock: a lock only counts if the path
// still belongs to the locked file.
bool server_record::lock(const std::string& path, bool create, failure& f) {
  for (;;) {
    // A child must not look like a living server.
    file_ = platform::open_guarded([&] { return platform::open_file(path, create, f); });
    if (f) return false;
    if (!platform::try_lock_byte(file_, 0)) {
      file_.reset();
      return false;
    }
    if (platform::file_id(path) == platform::id_of(file_)) break;
  }
  path_ = path;
  return true;
}

/// An address may have any characters and any length, so the file name has its hash (FNV-1a).
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
  // A process that cleans up after our predecessor holds the lock for a moment.
  for (int attempt = 0; attempt != 100; ++attempt) {
    if (attempt != 0) std::this_thread::sleep_for(std::chrono::milliseconds(10));
    if (r.lock(path, true, f)) break;
    if (f) return {};
  }
  if (!r.file_) {
    f = {std::make_error_code(std::errc::address_in_use),
         "a server is already running at \"" + address + '"'};
    return {};
  }
  if (!r.read(f)) return {};
  r.address_ = address;
  for (int attempt = 0; attempt != 100; ++attempt) {
    if (attempt != 0) std::this_thread::sleep_for(std::chrono::milliseconds(10));
    f = {};
    if (r.write_anew(f)) return r;
    if (f.code != std::errc::device_or_resource_busy) break;
  }
  return {};
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
  if (content.empty()) return true;  // its server died before it wrote anything
  had_predecessor_ = true;
  if (!content.starts_with(magic)) {
    f = {make_error_code(errc::corrupted), '"' + path_ + "\" is not a record of a server"};
    return false;
  }
  std::string_view rest = std::string_view(content).substr(magic.size());
  for (std::size_t end; (end = rest.find('\0')) != rest.npos; rest.remove_prefix(end + 1)) {
    const std::string_view entry = rest.substr(0, end);
    if (entry.empty()) continue;
    block b;
    switch (entry.front()) {
      case '=': address_ = entry.substr(1); break;
      case '+':
        if (read_block(entry.substr(1), b)) blocks_[b] = ++order_;
        break;
      case '-':
        if (read_block(entry.substr(1), b)) blocks_.erase(b);
        break;
      default: break;
    }
  }
  // An unfinished entry would merge with the next one appended.
  return rest.empty() || platform::truncate_file(file_, content.size() - rest.size(), f);
}

std::vector<server_record::block> server_record::blocks_in_order() const {
  std::vector<std::pair<std::uint64_t, block>> ordered;
  for (const auto& [b, order] : blocks_) ordered.emplace_back(order, b);
  std::sort(ordered.begin(), ordered.end());
  std::vector<block> all;
  for (auto& [order, b] : ordered) all.push_back(std::move(b));
  return all;
}

bool server_record::append(std::string_view entry, failure& f) {
  if (!platform::append_to_file(file_, entry, f)) return false;
  if (outdated_ <= longest_outdated + blocks_.size()) return true;
  failure ignored;  // a record that stays long does no harm
  write_anew(ignored);
  return true;
}

bool server_record::add(const block& b, failure& f) {
  if (!append(entry_of('+', b), f)) return false;
  if (!blocks_.insert_or_assign(b, ++order_).second) ++outdated_;
  return true;
}

bool server_record::remove(const block& b, failure& f) {
  const block removed = b;  // a copy: `b` may refer into the map
  blocks_.erase(removed);
  outdated_ += 2;
  return append(entry_of('-', removed), f);
}

bool server_record::write_anew(failure& f) {
  std::string content(magic);
  content += '=' + address_ + '\0';
  for (const block& b : blocks_in_order()) content += entry_of('+', b);

  server_record next;
  const std::string path = path_ + ".new";
  if (!next.lock(path, true, f)) {
    if (!f)
      f = {std::make_error_code(std::errc::device_or_resource_busy), '"' + path + "\" is locked"};
    return false;
  }
  // Its content comes from a server that died while it did the same.
  const bool done = platform::truncate_file(next.file_, 0, f) &&
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
  platform::remove_file(path_ + ".new");  // of a server that died while it wrote its record anew
  platform::remove_file(path_);
  file_.reset();
  blocks_.clear();
}

}  // namespace belfry::detail
