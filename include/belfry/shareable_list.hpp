// A list in a block, the twin of CPython's multiprocessing.shared_memory.ShareableList.
#pragma once

#include <belfry/detail/base/api.hpp>
#include <belfry/shared_memory.hpp>

#include <concepts>
#include <cstddef>
#include <cstdint>
#include <initializer_list>
#include <iterator>
#include <ostream>
#include <ranges>
#include <span>
#include <string>
#include <string_view>
#include <utility>
#include <variant>
#include <vector>

namespace belfry {
namespace detail {

template <class Range, class Value>
concept range_of_values = std::ranges::input_range<Range> &&
    std::constructible_from<Value, std::ranges::range_reference_t<Range>> &&
    (!std::convertible_to<Range, std::span<const Value>>);

}  // namespace detail

/// A sequence of bytes, as opposed to text.
class bytes : public std::vector<std::byte> {
 public:
  using std::vector<std::byte>::vector;
  explicit bytes(std::string_view text) {
    const auto raw = std::as_bytes(std::span(text));
    assign(raw.begin(), raw.end());
  }
  explicit bytes(const char* text) : bytes(std::string_view(text)) {}
  std::string_view view() const noexcept { return {reinterpret_cast<const char*>(data()), size()}; }
};

/// What counts as equal when a list is searched for a value.
enum class equality {
  /// The same type and the same value, as with `==` of two values: 1, 1.0 and true differ.
  typed,
  /// Python's `==`, as in CPython's list: 1, 1.0 and True are equal, and an integer equals a float that is
  /// exactly the same number. Text never equals bytes; NaN equals nothing.
  python,
};

/// A list of fixed length in shared memory. Its elements may change their values and, within the room that
/// each had at first, their types. Byte for byte the format of a CPython `ShareableList` (3.9 and later), so
/// that both sides can read and write the same list.
///
///     belfry::shareable_list l{"howdy", belfry::bytes("HoWdY"), -273.154, 100, nullptr, true, 42};
///     auto m = belfry::shareable_list::open(l.shm().name());      // or in Python: ShareableList(name=...)
///     m[2] = "dry ice";
///     if (m.at(2) == belfry::shareable_list::value("dry ice")) ...
///     l.shm().unlink();
///
/// Two differences remain, where CPython loses data. CPython chooses the room for a text by its number of
/// characters, and cuts the text off if its UTF-8 does not fit; here the room is large enough. And between
/// programs that use this class, a text or byte string keeps its exact length, including trailing NUL bytes;
/// CPython strips these on reading. Positions are unsigned; there are no negative ones. The format is
/// described in src/blocks/shareable_list.cpp.
///
/// The contents of the block are checked before use: a malformed list gives `errc::corrupted`.
///
/// Concurrent use: integers and floats are read and written as a whole, so a reader sees the old or the new
/// one, as long as the type of the element stays the same. Anything else (text, bytes, a change of type)
/// takes several stores: a reader may see a mixture, or `errc::corrupted`. The format cannot prevent that;
/// use a transaction where it matters. Assignments to different elements do not disturb each other. Distinct
/// objects are thread-safe, even for the same list.
///
/// After `shm().close()` the list keeps its size, and every access fails with
/// `std::errc::bad_file_descriptor`. So it does for a moved-from list, or one whose `shm()` was moved from.
///
/// Errors, thrown: std::out_of_range for a position, std::length_error for text or bytes that do not
/// fit in their element, std::invalid_argument for text that is not UTF-8 and for a value that is not
/// in the list, std::system_error for everything else. The forms of setup with an `error_code` set
/// `std::errc::invalid_argument` where the others throw std::length_error or std::invalid_argument.
class BELFRY_API shareable_list {
 public:
  using value = std::variant<std::nullptr_t, bool, std::int64_t, double, std::string, bytes>;
  using value_type = value;
  using size_type = std::size_t;

  class reference;
  template <class List, class Reference>
  class basic_iterator;
  using iterator = basic_iterator<shareable_list, reference>;
  using const_iterator = basic_iterator<const shareable_list, value>;

  /// A list without a block, to be assigned to.
  shareable_list() noexcept = default;
  /// Creates a block with these values. An empty name is replaced by a free one.
  shareable_list(std::initializer_list<value> values, std::string_view name = {})
      : shareable_list(std::span(values), name) {}
  shareable_list(std::initializer_list<value> values, std::string_view name, error_code& ec)
      : shareable_list(std::span(values), name, ec) {}
  shareable_list(std::initializer_list<value> values, error_code& ec)
      : shareable_list(std::span(values), {}, ec) {}
  explicit shareable_list(std::span<const value> values, std::string_view name = {});
  shareable_list(std::span<const value> values, std::string_view name, error_code& ec);
  shareable_list(std::span<const value> values, error_code& ec) : shareable_list(values, {}, ec) {}
  template <detail::range_of_values<value> Range>
  explicit shareable_list(Range&& values, std::string_view name = {})
      : shareable_list(std::span<const value>(collect(values)), name) {}
  template <detail::range_of_values<value> Range>
  shareable_list(Range&& values, std::string_view name, error_code& ec)
      : shareable_list(std::span<const value>(collect(values)), name, ec) {}
  template <detail::range_of_values<value> Range>
  shareable_list(Range&& values, error_code& ec)
      : shareable_list(std::span<const value>(collect(values)), {}, ec) {}

  /// Opens a list that another program has created. `errc::incompatible` for the layout of CPython 3.8,
  /// `errc::corrupted` for a block that holds no list.
  static shareable_list open(std::string_view name, access a = access::read_write);
  static shareable_list open(std::string_view name, access a, error_code& ec);
  static shareable_list open(std::string_view name, error_code& ec) {
    return open(name, access::read_write, ec);
  }

  /// Element access; the non-const form returns a reference that can be read and assigned to.
  reference operator[](size_type i);
  value operator[](size_type i) const { return at(i); }
  value at(size_type i) const;

  /// Gives the element a new value. On failure the element is unchanged.
  void set(size_type i, const value& v);

  size_type size() const noexcept { return size_; }
  bool empty() const noexcept { return size_ == 0; }
  /// How many elements equal `v`: by type and value, or, with `equality::python`, as in CPython.
  size_type count(const value& v, equality how = equality::typed) const;
  /// The position of the first element that equals `v`.
  size_type index(const value& v, equality how = equality::typed) const;

  /// The formats of all elements, one after the other, in the notation of Python's `struct`.
  std::string format() const;
  std::string format(size_type i) const;

  /// The size in bytes of the element's room: the longest text that can be assigned to it.
  size_type room(size_type i) const;

  shared_memory& shm() noexcept { return shm_; }
  const shared_memory& shm() const noexcept { return shm_; }

  iterator begin() noexcept;
  iterator end() noexcept;
  const_iterator begin() const noexcept;
  const_iterator end() const noexcept;

  std::vector<value> to_vector() const;
  explicit operator std::vector<value>() const { return to_vector(); }

  /// Equal types and values, element by element; the lists may be in different blocks.
  friend BELFRY_API bool operator==(const shareable_list& a, const shareable_list& b);

 private:
  friend class detail::block_maker;

  struct slot {
    std::uint64_t offset;
    std::uint64_t bytes;
  };

  template <class Range>
  static std::vector<value> collect(Range&& values) {
    std::vector<value> all;
    for (auto&& v : values) all.emplace_back(std::forward<decltype(v)>(v));
    return all;
  }

  void adopt(shared_memory&& shm, detail::failure& f);
  std::byte* memory() const;
  slot slot_of(size_type i) const;
  std::string_view format_of(size_type i, std::span<char, 8> buffer) const;

  shared_memory shm_;
  size_type size_ = 0;
  std::uint64_t data_bytes_ = 0;  // of all elements together
};

BELFRY_API std::ostream& operator<<(std::ostream& out, const shareable_list::value& v);

/// A reference to an element of a list that is not const.
class shareable_list::reference {
 public:
  operator value() const { return list_->at(i_); }
  const reference& operator=(const value& v) const {
    list_->set(i_, v);
    return *this;
  }
  const reference& operator=(const reference& other) const { return *this = value(other); }
  reference(const reference&) = default;
  friend bool operator==(const reference& a, const value& b) { return value(a) == b; }
  friend bool operator==(const reference& a, const reference& b) { return value(a) == value(b); }
  friend std::ostream& operator<<(std::ostream& out, const reference& r) { return out << value(r); }

 private:
  friend class shareable_list;
  template <class, class>
  friend class basic_iterator;
  reference(shareable_list& list, size_type i) noexcept : list_(&list), i_(i) {}

  shareable_list* list_;
  size_type i_;
};

template <class List, class Reference>
class shareable_list::basic_iterator {
 public:
  using iterator_category = std::input_iterator_tag;
  using iterator_concept = std::random_access_iterator_tag;
  using value_type = shareable_list::value;
  using difference_type = std::ptrdiff_t;
  using reference = Reference;

  basic_iterator() noexcept = default;

  Reference operator*() const { return (*list_)[i_]; }
  Reference operator[](difference_type n) const { return *(*this + n); }
  basic_iterator& operator+=(difference_type n) noexcept {
    i_ += static_cast<size_type>(n);
    return *this;
  }
  basic_iterator& operator-=(difference_type n) noexcept { return *this += -n; }
  basic_iterator& operator++() noexcept { return *this += 1; }
  basic_iterator& operator--() noexcept { return *this += -1; }
  basic_iterator operator++(int) noexcept { return std::exchange(*this, *this + 1); }
  basic_iterator operator--(int) noexcept { return std::exchange(*this, *this - 1); }
  friend basic_iterator operator+(basic_iterator a, difference_type n) noexcept { return a += n; }
  friend basic_iterator operator+(difference_type n, basic_iterator a) noexcept { return a += n; }
  friend basic_iterator operator-(basic_iterator a, difference_type n) noexcept { return a -= n; }
  friend difference_type operator-(const basic_iterator& a, const basic_iterator& b) noexcept {
    return static_cast<difference_type>(a.i_) - static_cast<difference_type>(b.i_);
  }
  friend bool operator==(const basic_iterator& a, const basic_iterator& b) noexcept {
    return a.i_ == b.i_;
  }
  friend auto operator<=>(const basic_iterator& a, const basic_iterator& b) noexcept {
    return a.i_ <=> b.i_;
  }

 private:
  friend class shareable_list;
  basic_iterator(List& list, size_type i) noexcept : list_(&list), i_(i) {}

  List* list_ = nullptr;
  size_type i_ = 0;
};

inline shareable_list::reference shareable_list::operator[](size_type i) { return {*this, i}; }
inline shareable_list::iterator shareable_list::begin() noexcept { return {*this, 0}; }
inline shareable_list::iterator shareable_list::end() noexcept { return {*this, size_}; }
inline shareable_list::const_iterator shareable_list::begin() const noexcept { return {*this, 0}; }
inline shareable_list::const_iterator shareable_list::end() const noexcept { return {*this, size_}; }

}  // namespace belfry
