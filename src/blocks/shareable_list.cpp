// The layout of CPython's ShareableList (Lib/multiprocessing/shared_memory.py, 3.9 and later), for N
// elements with K bytes of data. Everything is little-endian and at a multiple of 8, except the last line:
//
//   0               i64            N
//   8               (N + 1) * i64  where each element's data begins, relative to the data; the first
//                                  is 0, the last K
//   8 (N + 2)       K bytes        the data; each element begins at a multiple of 8
//   8 (N + 2) + K   N * 8 bytes    the format of each element, in the notation of Python's `struct`
//   ... + 8 N       N * i8         the type of each element: 0 number, 1 text, 2 bytes, 3 None
//
//   integer  "q"         float  "d"         bool  "xxxxxxx?"         None  "xxxxxx?x"
//   text and bytes: "%ds" of the room, padded with NULs, which are stripped on reading.
//
// The room of bytes is the next multiple of 8 greater than their number; the room of text is the next multiple of 8
// greater than its number of characters. CPython truncates text with more bytes than that (gh-88336); here such text
// gets the room that it needs.
//
// "%ds" with less than the room is an exact length. "%dsx" with the exact length is used only by this library, for a
// value that ends in NULs. CPython can read such an element, stripping the NULs as always, and write it. If its format
// were a shorter "%ds", CPython would truncate what it writes.
#include "../base/utf8.hpp"
#include "block_maker.hpp"
#include "list_element.hpp"

#include <belfry/shareable_list.hpp>

#include <algorithm>
#include <array>
#include <atomic>
#include <bit>
#include <charconv>
#include <cstring>
#include <stdexcept>
#include <type_traits>

namespace belfry {
namespace {

using namespace detail::list_format;
using value = shareable_list::value;

std::atomic_ref<std::uint64_t> word_at(std::byte* p) {
  return std::atomic_ref(*reinterpret_cast<std::uint64_t*>(p));
}

std::uint64_t load(std::byte* p) { return word_at(p).load(std::memory_order_relaxed); }

void store_data(std::byte* data, const encoded& e) {
  if (!e.is_string()) return word_at(data).store(e.word, std::memory_order_relaxed);
  std::copy_n(e.string.data(), e.string.size(), reinterpret_cast<char*>(data));
  std::memset(data + e.string.size(), 0, e.room - e.string.size());
}

/// Read-only memory is never written: set() checks that.
std::byte* bytes_of(const shared_memory& m) { return const_cast<std::byte*>(m.buf().data()); }

[[noreturn]] void corrupted(const std::string& what) {
  throw std::system_error(make_error_code(errc::corrupted), what);
}

}  // namespace

shareable_list::shareable_list(std::span<const value> values, std::string_view name)
    : shareable_list(detail::block_maker::make(values)) {
  detail::failure f;
  if (!detail::block_maker(*this).publish_as(name, f)) f.raise();
}

shareable_list::shareable_list(std::span<const value> values, std::string_view name,
                               error_code& ec) {
  detail::failure f;
  shareable_list l = detail::block_maker::make(values, f);
  if (!f && detail::block_maker(l).publish_as(name, f)) *this = std::move(l);
  ec = detail::to_net(f.code);
}

shareable_list detail::block_maker::make(std::span<const value> values) {
  std::vector<encoded> elements;
  elements.reserve(values.size());
  std::uint64_t data_bytes = 0;
  for (const value& v : values) {
    elements.push_back(encode(v, 0));
    data_bytes += elements.back().room;
  }
  const std::uint64_t n = values.size();
  failure f;
  shareable_list l;
  l.shm_ = make(16 + 17 * n + data_bytes, 0600, f);
  if (f) f.raise();
  std::byte* const base = l.shm_.buf().data();
  l.size_ = n;
  l.data_bytes_ = data_bytes;

  word_at(base).store(n, std::memory_order_relaxed);
  std::uint64_t offset = 0;
  std::byte* const data = base + 8 * (n + 2);
  std::byte* const formats = data + data_bytes;
  std::byte* const codes = formats + 8 * n;
  for (std::size_t i = 0; i != elements.size(); ++i) {
    const encoded& e = elements[i];
    word_at(base + 8 * (i + 1)).store(offset, std::memory_order_relaxed);
    store_data(data + offset, e);
    std::memcpy(formats + 8 * i, e.format.data(), 8);
    codes[i] = static_cast<std::byte>(e.code);
    offset += e.room;
  }
  word_at(base + 8 * (n + 1)).store(offset, std::memory_order_relaxed);
  return l;
}

shareable_list detail::block_maker::make(std::span<const value> values, failure& f) {
  try {
    return make(values);
  } catch (const std::system_error& e) {
    f = {e.code(), e.what()};
  } catch (const std::logic_error& e) {  // a value that cannot be in a list
    f = {std::make_error_code(std::errc::invalid_argument), e.what()};
  }
  return {};
}

shareable_list shareable_list::open(std::string_view name, access a) {
  shareable_list l;
  detail::failure f;
  l.adopt(shared_memory::open(name, a), f);
  if (f) f.raise();
  return l;
}

shareable_list shareable_list::open(std::string_view name, access a, error_code& ec) {
  shareable_list l;
  shared_memory shm = shared_memory::open(name, a, ec);
  if (ec) return l;
  detail::failure f;
  l.adopt(std::move(shm), f);
  ec = detail::to_net(f.code);
  return f ? shareable_list() : std::move(l);
}

void shareable_list::adopt(shared_memory&& shm, detail::failure& f) {
  const auto reject = [&](errc code, const char* why) {
    f = {make_error_code(code), '"' + shm.name() + "\" " + why};
  };
  std::byte* const base = bytes_of(shm);
  const std::uint64_t bytes = shm.size();
  if (bytes < 16) return reject(errc::corrupted, "is too small for a list");
  const std::uint64_t n = load(base);
  if (n > (bytes - 16) / 17)
    return reject(errc::corrupted, "is too small for its number of elements");
  if (const std::uint64_t first = load(base + 8); first != 0) {
    return n != 0 && first % 8 == 0 && first < bytes
               ? reject(errc::incompatible,
                        "looks like a list of CPython 3.8, whose format only CPython 3.8 reads")
               : reject(errc::corrupted, "does not contain a list");
  }
  const std::uint64_t data = load(base + 8 * (n + 1));
  if (data % 8 != 0 || data > bytes - 16 - 17 * n) {
    return reject(errc::corrupted, "is too small for its elements");
  }
  size_ = static_cast<size_type>(n);
  data_bytes_ = data;
  shm_ = std::move(shm);
}

/// The block. Throws if the user has closed it, or replaced it by a smaller one, through shm().
std::byte* shareable_list::memory() const {
  const std::span<const std::byte> all = shm_.buf();
  if (all.size() < 16 || all.size() - 16 < 17 * size_ + data_bytes_) {
    throw std::system_error(std::make_error_code(std::errc::bad_file_descriptor),
                            '"' + shm_.name() + "\" is closed");
  }
  return bytes_of(shm_);
}

shareable_list::slot shareable_list::slot_of(size_type i) const {
  std::byte* const offsets = memory() + 8;
  const std::uint64_t begin = load(offsets + 8 * i);
  const std::uint64_t end = load(offsets + 8 * (i + 1));
  if (begin % 8 != 0 || end % 8 != 0 || begin >= end || end > data_bytes_ ||
      end - begin > max_room) {
    corrupted("element " + std::to_string(i) + ": its offsets are out of range");
  }
  return {8 * (size_ + 2) + begin, end - begin};
}

std::string_view shareable_list::format_of(size_type i, std::span<char, 8> buffer) const {
  const std::uint64_t word = load(memory() + 8 * (size_ + 2) + data_bytes_ + 8 * i);
  std::memcpy(buffer.data(), &word, 8);
  const std::string_view format(buffer.data(), 8);
  return format.substr(0, format.find_last_not_of('\0') + 1);
}

value shareable_list::at(size_type i) const {
  if (i >= size_) throw std::out_of_range("index out of range");
  std::byte* const base = memory();
  const slot s = slot_of(i);
  std::array<char, 8> buffer;
  const std::string_view format = format_of(i, buffer);
  const int what =
      std::to_integer<int>(std::atomic_ref(base[8 * (size_ + 2) + data_bytes_ + 8 * size_ + i])
                               .load(std::memory_order_relaxed));
  std::byte* const data = base + s.offset;
  if (format == integer_format && what == number) return static_cast<std::int64_t>(load(data));
  if (format == float_format && what == number) return std::bit_cast<double>(load(data));
  if (format == bool_format && what == number) return (load(data) >> 56) != 0;
  if (format == none_format && what == none) return nullptr;

  std::uint64_t length = 0;
  const auto [end, error] = std::from_chars(format.data(), format.data() + format.size(), length);
  const std::string_view suffix(end, static_cast<std::size_t>(format.data() + format.size() - end));
  if (error != std::errc() || (suffix != "s" && suffix != "sx") || length > s.bytes ||
      (what != text && what != octets)) {
    corrupted("element " + std::to_string(i) + ": its format is invalid");
  }
  std::string string(reinterpret_cast<const char*>(data), length);
  const bool padded = suffix == "s" && length == s.bytes;
  if (padded) string.resize(string.find_last_not_of('\0') + 1);
  if (what == octets) return bytes(std::string_view(string));
  if (!is_utf8(string)) corrupted("element " + std::to_string(i) + ": text that is not UTF-8");
  return string;
}

void shareable_list::set(size_type i, const value& v) {
  if (shm_.read_only()) {
    throw std::system_error(std::make_error_code(std::errc::permission_denied),
                            '"' + shm_.name() + "\" is read-only");
  }
  if (i >= size_) throw std::out_of_range("assignment index out of range");
  std::byte* const base = memory();
  const slot s = slot_of(i);
  const encoded e = encode(v, s.bytes);  // everything that may throw comes before the first store
  std::uint64_t format;
  std::memcpy(&format, e.format.data(), 8);
  std::byte* const formats = base + 8 * (size_ + 2) + data_bytes_;
  word_at(formats + 8 * i).store(format, std::memory_order_relaxed);
  std::atomic_ref(formats[8 * size_ + i])
      .store(static_cast<std::byte>(e.code), std::memory_order_relaxed);
  store_data(base + s.offset, e);
}

std::string shareable_list::format() const {
  memory();
  std::string all;
  for (size_type i = 0; i != size_; ++i) all += format(i);
  return all;
}

std::string shareable_list::format(size_type i) const {
  if (i >= size_) throw std::out_of_range("index out of range");
  std::array<char, 8> buffer;
  return std::string(format_of(i, buffer));
}

shareable_list::size_type shareable_list::room(size_type i) const {
  if (i >= size_) throw std::out_of_range("index out of range");
  return slot_of(i).bytes;
}

}  // namespace belfry
