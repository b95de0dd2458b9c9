// The layout of CPython's ShareableList (Lib/multiprocessing/shared_memory.py, 3.9 and later), for N
// elements with K bytes of data, everything little-endian and at multiples of 8 but for the last line:
//
//   0               i64            N
//   8               (N + 1) * i64  where each element's data begins, relative to the data; the first
//                                  is 0, the last K
//   8 (N + 2)       K bytes        the data, every element's at a multiple of 8
//   8 (N + 2) + K   N * 8 bytes    the format of each, in the notation of Python's `struct`
//   ... + 8 N       N * i8         what to make of it: 0 number, 1 text, 2 bytes, 3 None
//
//   integer  "q"         float  "d"         bool  "xxxxxxx?"         None  "xxxxxx?x"
//   text and bytes: "%ds" of the room, padded with NULs, which are stripped on reading.
//
// Ours alone is "%dsx" with the exact length, for a value that ends in NULs: CPython can read and
// write such an element, stripping them as it always does.
#include "block_maker.hpp"
#include "platform.hpp"
#include "utf8.hpp"

#include <belfry/shareable_list.hpp>

#include <algorithm>
#include <array>
#include <atomic>
#include <bit>
#include <charconv>
#include <cstring>
#include <iomanip>
#include <limits>
#include <stdexcept>
#include <type_traits>

namespace belfry {
namespace {

using value = shareable_list::value;

constexpr std::string_view integer_format = "q";
constexpr std::string_view float_format = "d";
constexpr std::string_view bool_format = "xxxxxxx?";
constexpr std::string_view none_format = "xxxxxx?x";
enum code : std::int8_t { number = 0, text = 1, octets = 2, none = 3 };

/// A format has eight characters at most: seven digits and the `s`.
constexpr std::uint64_t max_string = 9'999'991;
/// With the `x` of ours there is a digit less.
constexpr std::uint64_t max_exact_string = 999'999;

/// An element as the bytes that stand for it.
struct encoded {
  std::array<char, 8> format{};
  std::int8_t code = number;
  std::uint64_t word = 0;        // of a number
  std::string_view string = {};  // of text and bytes

  bool is_string() const noexcept { return code == text || code == octets; }
};

void write_format(std::array<char, 8>& out, std::string_view format) {
  out.fill('\0');
  std::copy(format.begin(), format.end(), out.begin());
}

constexpr std::uint64_t room_for(std::uint64_t string) { return 8 * (string / 8 + 1); }

void encode_string(encoded& e, std::string_view string, std::uint64_t room) {
  if (string.size() > room) throw std::length_error("bytes/str item exceeds available storage");
  e.string = string;
  const bool exact = string.ends_with('\0');
  if (exact && string.size() > max_exact_string) {
    throw std::length_error("a string that ends in NULs may have 999999 bytes at most");
  }
  write_format(e.format, exact ? std::to_string(string.size()) + "sx" : std::to_string(room) + 's');
}

/// `room` is what an element has for its data; 0 while its room is still to be chosen.
encoded encode(const value& v, std::uint64_t room) {
  encoded e;
  const auto string = [&](std::string_view s) {
    if (s.size() > max_string) throw std::length_error("a string may have 9999991 bytes at most");
    encode_string(e, s, room != 0 ? room : room_for(s.size()));
  };
  if (std::holds_alternative<std::nullptr_t>(v)) {
    write_format(e.format, none_format);
    e.code = none;
  } else if (const bool* b = std::get_if<bool>(&v)) {
    write_format(e.format, bool_format);
    e.word = static_cast<std::uint64_t>(*b) << 56;
  } else if (const std::int64_t* i = std::get_if<std::int64_t>(&v)) {
    write_format(e.format, integer_format);
    e.word = static_cast<std::uint64_t>(*i);
  } else if (const double* d = std::get_if<double>(&v)) {
    write_format(e.format, float_format);
    e.word = std::bit_cast<std::uint64_t>(*d);
  } else if (const std::string* s = std::get_if<std::string>(&v)) {
    if (!is_utf8(*s)) throw std::invalid_argument("text that is not UTF-8");
    e.code = text;
    string(*s);
  } else {
    e.code = octets;
    string(std::get<bytes>(v).view());
  }
  return e;
}

std::atomic_ref<std::uint64_t> word_at(std::byte* p) {
  return std::atomic_ref(*reinterpret_cast<std::uint64_t*>(p));
}

void store_data(std::byte* data, const encoded& e, std::uint64_t room) {
  if (!e.is_string()) return word_at(data).store(e.word, std::memory_order_relaxed);
  std::copy_n(e.string.data(), e.string.size(), reinterpret_cast<char*>(data));
  std::memset(data + e.string.size(), 0, room - e.string.size());
}

[[noreturn]] void corrupted(const std::string& what) {
  throw std::system_error(make_error_code(errc::corrupted), what);
}

}  // namespace

shareable_list::shareable_list(std::span<const value> values, std::string_view name)
    : shareable_list(detail::block_maker::make(values)) {
  detail::failure f;
  if (!detail::block_maker(*this).publish_as(name, f)) f.raise();
}

shareable_list detail::block_maker::make(std::span<const value> values) {
  std::vector<encoded> elements;
  elements.reserve(values.size());
  std::uint64_t data_bytes = 0;
  for (const value& v : values) {
    elements.push_back(encode(v, 0));
    data_bytes += elements.back().is_string() ? room_for(elements.back().string.size()) : 8;
  }
  const std::uint64_t n = values.size();
  failure f;
  shareable_list l;
  l.shm_ = make(16 + 17 * n + data_bytes, 0600, f);
  if (f) f.raise();
  std::byte* const base = l.shm_.buf().data();
  l.base_ = base;
  l.size_ = n;
  l.data_bytes_ = data_bytes;

  word_at(base).store(n, std::memory_order_relaxed);
  std::uint64_t offset = 0;
  std::byte* const data = base + 8 * (n + 2);
  std::byte* const formats = data + data_bytes;
  std::byte* const codes = formats + 8 * n;
  for (std::size_t i = 0; i != elements.size(); ++i) {
    const encoded& e = elements[i];
    const std::uint64_t room = e.is_string() ? room_for(e.string.size()) : 8;
    word_at(base + 8 * (i + 1)).store(offset, std::memory_order_relaxed);
    store_data(data + offset, e, room);
    std::memcpy(formats + 8 * i, e.format.data(), 8);
    codes[i] = static_cast<std::byte>(e.code);
    offset += room;
  }
  word_at(base + 8 * (n + 1)).store(offset, std::memory_order_relaxed);
  return l;
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
  // Read-only memory is never written to: set() sees to that.
  base_ = const_cast<std::byte*>(std::as_const(shm).buf().data());
  const std::uint64_t bytes = shm.size();
  if (bytes < 16) return reject(errc::corrupted, "is too small for a list");
  const std::uint64_t n = word(0);
  if (n > (bytes - 16) / 17)
    return reject(errc::corrupted, "is too small for its number of elements");
  if (word(8) != 0) {
    return n != 0 && word(8) % 8 == 0 && word(8) < bytes
               ? reject(errc::incompatible,
                        "looks like a list of CPython 3.8, which nobody else reads")
               : reject(errc::corrupted, "has no list in it");
  }
  const std::uint64_t data = word(8 * (n + 1));
  if (data % 8 != 0 || data > bytes - 16 - 17 * n) {
    return reject(errc::corrupted, "is too small for its elements");
  }
  size_ = static_cast<size_type>(n);
  data_bytes_ = data;
  shm_ = std::move(shm);
}

std::uint64_t shareable_list::word(std::uint64_t offset) const noexcept {
  return word_at(base_ + offset).load(std::memory_order_relaxed);
}

shareable_list::slot shareable_list::slot_of(size_type i) const {
  const std::uint64_t begin = word(8 * (i + 1));
  const std::uint64_t end = word(8 * (i + 2));
  if (begin % 8 != 0 || end % 8 != 0 || begin >= end || end > data_bytes_) {
    corrupted("element " + std::to_string(i) + ": its place in the list");
  }
  return {8 * (size_ + 2) + begin, end - begin};
}

std::string_view shareable_list::format_of(size_type i, std::span<char, 8> buffer) const noexcept {
  const std::uint64_t word = this->word(8 * (size_ + 2) + data_bytes_ + 8 * i);
  std::memcpy(buffer.data(), &word, 8);
  const std::string_view format(buffer.data(), 8);
  return format.substr(0, format.find_last_not_of('\0') + 1);
}

value shareable_list::at(size_type i) const {
  if (i >= size_) throw std::out_of_range("index out of range");
  const slot s = slot_of(i);
  std::array<char, 8> buffer;
  const std::string_view format = format_of(i, buffer);
  const int what =
      std::to_integer<int>(std::atomic_ref(base_[8 * (size_ + 2) + data_bytes_ + 8 * size_ + i])
                               .load(std::memory_order_relaxed));
  if (format == integer_format && what == number) return static_cast<std::int64_t>(word(s.offset));
  if (format == float_format && what == number) return std::bit_cast<double>(word(s.offset));
  if (format == bool_format && what == number) return (word(s.offset) >> 56) != 0;
  if (format == none_format && what == none) return nullptr;

  std::uint64_t length = 0;
  const auto [end, error] = std::from_chars(format.data(), format.data() + format.size(), length);
  const std::string_view suffix(end, static_cast<std::size_t>(format.data() + format.size() - end));
  const bool exact = suffix == "sx";
  if (error != std::errc() || (!exact && suffix != "s") || length > s.bytes ||
      (what != text && what != octets)) {
    corrupted("element " + std::to_string(i) + ": its format");
  }
  std::string string(reinterpret_cast<const char*>(base_ + s.offset), length);
  if (!exact) string.resize(string.find_last_not_of('\0') + 1);
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
  const slot s = slot_of(i);
  const encoded e = encode(v, s.bytes);  // all that may fail has not failed
  std::uint64_t format;
  std::memcpy(&format, e.format.data(), 8);
  std::byte* const formats = base_ + 8 * (size_ + 2) + data_bytes_;
  word_at(formats + 8 * i).store(format, std::memory_order_relaxed);
  std::atomic_ref(formats[8 * size_ + i])
      .store(static_cast<std::byte>(e.code), std::memory_order_relaxed);
  store_data(base_ + s.offset, e, s.bytes);
}

shareable_list::size_type shareable_list::count(const value& v) const {
  size_type n = 0;
  for (size_type i = 0; i != size_; ++i) n += at(i) == v;
  return n;
}

shareable_list::size_type shareable_list::index(const value& v) const {
  for (size_type i = 0; i != size_; ++i) {
    if (at(i) == v) return i;
  }
  throw std::invalid_argument("the value is not in this container");
}

std::string shareable_list::format() const {
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

std::vector<value> shareable_list::to_vector() const {
  std::vector<value> all;
  all.reserve(size_);
  for (size_type i = 0; i != size_; ++i) all.push_back(at(i));
  return all;
}

bool operator==(const shareable_list& a, const shareable_list& b) {
  if (a.size() != b.size()) return false;
  for (std::size_t i = 0; i != a.size(); ++i) {
    if (a.at(i) != b.at(i)) return false;
  }
  return true;
}

std::ostream& operator<<(std::ostream& out, const value& v) {
  struct printer {
    std::ostream& out;
    void operator()(std::nullptr_t) const { out << "None"; }
    void operator()(bool b) const { out << (b ? "True" : "False"); }
    void operator()(std::int64_t i) const { out << i; }
    void operator()(double d) const { out << d; }
    void operator()(const std::string& s) const { out << std::quoted(s); }
    void operator()(const bytes& b) const { out << 'b' << std::quoted(b.view()); }
  };
  std::visit(printer{out}, v);
  return out;
}

}  // namespace belfry
