// Types that describe themselves, and values of a type that the program does not have.
#pragma once

#include <belfry/detail/base/api.hpp>
#include <belfry/detail/layout/description_of.hpp>

#include <boost/describe/class.hpp>  // BOOST_DESCRIBE_STRUCT

#include <cstddef>
#include <memory>
#include <span>
#include <string>
#include <string_view>
#include <type_traits>
#include <vector>

namespace belfry {

namespace detail {

struct description;

}  // namespace detail

/// What a segment says of the type of its values: name, size, alignment, and the fields as far as they are known.
///
///     struct tick { std::uint64_t seq; double price; };
///     BOOST_DESCRIBE_STRUCT(tick, (), (seq, price))     // directly behind the type, in its namespace
///
///     const auto type = belfry::described_type::of<tick>();
///     type.to_json(std::as_bytes(std::span(&t, 1)));    // {"seq":7,"price":1.5}
///     type.from_json(R"({"seq":7,"price":1.5})");       // 16 bytes
///     type.description();                               // for programs that have no tick
///     belfry::described_type::parse(description);       // and what they do with it
///
/// Rings, and joining one, compare types by their fields, as far as these are known: their names, offsets and types.
/// The name of the type does not count then, so that two programs may have it in different namespaces. If fields
/// differ, joining fails with `incompatible`, and the text says which one.
///
/// - A trivially copyable class with BOOST_DESCRIBE_STRUCT or BOOST_DESCRIBE_CLASS has the listed fields, by name. List
///   all of its members, in their order, and all of its bases, which have to be described as well: what is not listed
///   is not compared. The macro has to be seen wherever the type is.
/// - A trivially copyable aggregate without one has fields that are numbered from 0, if it has at most 32 members, all
///   of which can be initialized with empty braces, is not packed, and has no bases, bit-fields, references, volatile
///   members, anonymous unions, or constructors of members that accept anything.
/// - Arrays, `std::array`, enumerations, `std::chrono::duration` and `time_point` are known as such.
/// - Any other class is opaque: its bytes and its name are compared. So is an aggregate with other members than those.
///
/// A specialisation of `belfry::type_name` is compared in any case.
///
/// A value as JSON: a structure is an object, or an array if its fields are numbered; an array is an array, but an
/// array of `char` is a string if there is nothing but text up to its first NUL. A number is a number, and NaN and the
/// infinities are `"nan"`, `"inf"`, `"-inf"`; a `bool` is true or false; a `char` is a string of one ASCII character if
/// it can be printed, otherwise a number. An enumeration, a duration and a time_point are their number, or count. An
/// opaque value, and a number of more than 8 bytes, is a string with two hexadecimal digits a byte, in memory order.
///
/// Copies share what they refer to. Objects are never changed, so that threads may use the same one.
class BELFRY_API described_type {
 public:
  /// The type of this program's own values.
  template <class T>
  static described_type of() {
    return described_type(detail::description_of<std::remove_cv_t<T>>);
  }

  /// Reads a description, of at most 16 KiB. It may come from anywhere: what is accepted describes no byte outside of
  /// a value. Throws std::system_error with errc::corrupted, and a text that says what is wrong where.
  static described_type parse(std::string_view description);

  described_type(const described_type&) noexcept;
  described_type& operator=(const described_type&) noexcept;
  ~described_type();

  /// Without namespaces; may be empty.
  std::string_view name() const noexcept;
  /// Of a value. Of a type that was parsed, compare it with what is known of the values before anything is done with
  /// them: from_json allocates as much.
  std::size_t bytes() const noexcept;
  std::size_t align() const noexcept;
  /// Whether anything but its bytes is known.
  bool is_opaque() const noexcept;

  /// The description as JSON; src/segment/description.hpp has the format. At most 16 KiB: if need be, it says less of
  /// the types of fields, or is opaque.
  std::string description() const;

  /// A value as JSON, in one line. The value may have any bytes. Throws std::system_error with
  /// std::errc::invalid_argument unless there are exactly `bytes()` of them.
  std::string to_json(std::span<const std::byte> value) const;

  /// The bytes of a value. Bytes between fields are 0. Every field has to be there, and no others. Throws
  /// std::system_error with std::errc::invalid_argument, and a text that says what does not fit and where, such as
  /// `.legs[2].quantity: 300 does not fit in u8`.
  std::vector<std::byte> from_json(std::string_view json) const;

 private:
  explicit described_type(const detail::type_description& type);
  explicit described_type(detail::description&& type);

  std::shared_ptr<const detail::description> type_;
};

}  // namespace belfry
