// The description of a type, found at compile time.
#pragma once

#include <belfry/detail/layout/members.hpp>
#include <belfry/detail/layout/name_hash.hpp>
#include <belfry/detail/layout/type_description.hpp>

#include <boost/describe/bases.hpp>
#include <boost/describe/members.hpp>

#include <array>
#include <chrono>
#include <cstddef>
#include <cstdint>
#include <memory>
#include <ratio>
#include <string_view>
#include <type_traits>

namespace belfry::detail {

template <class T>
constexpr type_description describe();

/// What is known of a type. It is the same in every translation unit of every program, as long as the type, and
/// its BOOST_DESCRIBE_STRUCT, are.
template <class T>
inline constexpr type_description description_of = describe<T>();

// ---- fields

/// Room for a T, in which there is none: only addresses in it are used, and compared at compile time.
template <class T>
union room {
  constexpr room() : nothing() {}

  char nothing;
  std::byte bytes[sizeof(T)];
  T value;
};

template <class T>
constexpr bool is_at(const room<T>& in, std::size_t offset, const volatile void* address) {
  return static_cast<const volatile void*>(in.bytes + offset) == address;
}

/// Where the member is. The search begins at the end of the member before it. sizeof(T) if it was not found.
template <class T>
constexpr std::size_t offset_in(const room<T>& in, const volatile void* member, std::size_t align, std::size_t end) {
  for (std::size_t i = end; i < sizeof(T) && i < end + 128; ++i) {
    if (is_at(in, i, member)) return i;
  }
  for (std::size_t i = 0; i < sizeof(T) && i / align < 10000; i += align) {
    if (is_at(in, i, member)) return i;
  }
  return sizeof(T);
}

/// N fields of a T.
template <class T, std::size_t N>
struct found_fields {
  /// In any order.
  template <class M>
  constexpr void add(std::string_view name, const room<T>& in, const volatile void* member) {
    const std::size_t end = used == 0 ? 0 : fields[used - 1].offset + fields[used - 1].type->bytes;
    fields[used++] = {name, offset_in(in, member, alignof(M), end), &description_of<std::remove_cv_t<M>>};
  }

  constexpr void finish() {
    sort();
    complete = N != 0 || std::is_empty_v<T>;
    std::size_t content = 0;
    for (std::size_t i = 0; i < N; ++i) {
      const field_description& field = fields[i];
      const std::size_t bytes = field.type->bytes;
      if (bytes == 0 || field.offset >= sizeof(T) || bytes > sizeof(T) - field.offset) complete = false;
      content += content_bytes(*field.type);
      for (std::size_t k = 0; k != i; ++k) {
        if (!field.name.empty() && field.name == fields[k].name) complete = false;  // one of them is a base's
      }
    }
    if (content > sizeof(T)) complete = false;
  }

  constexpr void sort() {
    for (std::size_t i = 0; i < N; ++i) {
      for (std::size_t k = i; k != 0 && fields[k].offset < fields[k - 1].offset; --k) {
        const field_description later = fields[k];
        fields[k] = fields[k - 1];
        fields[k - 1] = later;
      }
    }
  }

  std::array<field_description, N> fields{};
  std::size_t used = 0;
  bool complete = false;  // all were found, and they can be described
};

/// Called with all members of the value in the room. A reference to a bit-field refers to a copy of it, and what is
/// in the room cannot be copied at compile time.
template <class T>
struct locate {
  const room<T>& in;

  template <class... M>
  requires(!std::is_volatile_v<M> && ...)
  constexpr found_fields<T, sizeof...(M)> operator()(const M&... member) const {
    found_fields<T, sizeof...(M)> found;
    (..., found.template add<M>({}, in, std::addressof(member)));
    found.finish();
    // Of a packed structure only Clang has references.
    if (((alignof(M) > alignof(T)) || ...)) found.complete = false;
    return found;
  }
  void operator()(...) const;  // no reference can be bound to a volatile bit-field
};

template <class T>
constexpr auto numbered_fields() {
  room<T> in;
  return with_members<count_members<T>()>(in.value, locate<T>{in});
}

template <class M, class T>
std::type_identity<M> type_of_member(M T::*);

template <class T, template <class...> class List, class... Descriptor>
constexpr auto named_fields(const List<Descriptor...>*) {
  const room<T> in;
  found_fields<T, sizeof...(Descriptor)> found;
  (..., found.template add<typename decltype(type_of_member(Descriptor::pointer))::type>(
            Descriptor::name, in, std::addressof(in.value.*Descriptor::pointer)));
  found.finish();
  return found;
}

template <class T>
using bases_of = boost::describe::describe_bases<T, boost::describe::mod_any_access>;
template <class T>
using members_of = boost::describe::describe_members<
    T, boost::describe::mod_any_access | boost::describe::mod_inherited | boost::describe::mod_hidden>;

template <class T>
constexpr bool is_described();
template <template <class...> class List, class... Base>
constexpr bool are_described(const List<Base...>*) {
  return (is_described<typename Base::type>() && ...);
}
/// Whether Boost.Describe knows the members of T, and of all the bases that it was told of.
template <class T>
constexpr bool is_described() {
  if constexpr (requires {
                  typename bases_of<T>;
                  typename boost::describe::describe_members<T, boost::describe::mod_any_access>;
                }) {
    return are_described(static_cast<const bases_of<T>*>(nullptr));
  } else {
    return false;
  }
}
template <class T, template <class...> class List, class... Descriptor>
constexpr bool are_accessible(const List<Descriptor...>*) {
  return (requires(room<T> & in) { in.value.*Descriptor::pointer; } && ...);
}

template <class T>
constexpr auto find_fields() {
  if constexpr (!std::is_class_v<T> || !std::is_trivially_copyable_v<T>) {
    return found_fields<T, 0>{};
  } else if constexpr (is_described<T>()) {
    constexpr const members_of<T>* members = nullptr;
    if constexpr (are_accessible<T>(members)) {
      return named_fields<T>(members);
    } else {
      return found_fields<T, 0>{};
    }
  } else if constexpr (std::is_empty_v<T>) {
    return found_fields<T, 0>{{}, 0, std::is_aggregate_v<T>};
  } else if constexpr (!members_can_be_bound<T>()) {
    return found_fields<T, 0>{};
  } else if constexpr (count_members<T>() == 0 || std::is_void_v<decltype(numbered_fields<T>())>) {
    return found_fields<T, 0>{};
  } else if constexpr (requires { typename std::bool_constant<(static_cast<void>(numbered_fields<T>()), true)>; }) {
    return numbered_fields<T>();
  } else {
    return found_fields<T, 0>{};  // a reference: where it is cannot be asked
  }
}

template <class T>
inline constexpr auto fields_of = find_fields<T>();

// ---- all other types

template <class T>
struct array_traits {};
template <class T, std::size_t N>
requires(N != 0)
struct array_traits<T[N]> {
  using element = std::remove_cv_t<T>;
  static constexpr std::size_t count = N;
};
template <class T, std::size_t N>
requires(N != 0)
struct array_traits<std::array<T, N>> : array_traits<T[N]> {};

template <class T>
struct duration_traits {};
template <class Rep, class Period>
struct duration_traits<std::chrono::duration<Rep, Period>> {
  using representation = Rep;
  using period = typename Period::type;
};
template <class T>
struct time_point_traits {};
template <class Clock, class Duration>
struct time_point_traits<std::chrono::time_point<Clock, Duration>> {
  using clock = Clock;
  using duration = Duration;
};

/// `u64`, `f32` and so on; empty for a number that has no such name.
template <number T>
constexpr std::string_view number_name() {
  constexpr std::size_t bytes = sizeof(T);
  if constexpr (std::is_same_v<T, bool>) {
    return bytes == 1 ? "bool" : "";
  } else if constexpr (std::is_same_v<T, char>) {
    return "char";
  } else if constexpr (T(1) / T(2) > T(0)) {
    switch (float_digits<T>()) {
      case 11: return bytes == 2 ? "f16" : "";
      case 8: return bytes == 2 ? "bf16" : "";
      case 24: return bytes == 4 ? "f32" : "";
      case 53: return bytes == 8 ? "f64" : "";
      case 64: return bytes == 16 ? "f80" : "";
      case 113: return bytes == 16 ? "f128" : "";
      default: return "";
    }
  } else {
    constexpr bool is_signed = T(-1) < T(1);
    switch (bytes) {
      case 1: return is_signed ? "i8" : "u8";
      case 2: return is_signed ? "i16" : "u16";
      case 4: return is_signed ? "i32" : "u32";
      case 8: return is_signed ? "i64" : "u64";
      case 16: return is_signed ? "i128" : "u128";
      default: return "";
    }
  }
}

template <class T>
constexpr type_kind number_kind() {
  if constexpr (std::is_same_v<T, bool>) return type_kind::boolean;
  if constexpr (std::is_same_v<T, char>) return type_kind::character;
  if constexpr (T(1) / T(2) > T(0)) return type_kind::floating;
  return T(-1) < T(1) ? type_kind::signed_integer : type_kind::unsigned_integer;
}

/// From the description alone, but for an opaque type.
template <class T>
constexpr std::uint64_t fingerprint(const type_description& type) {
  std::uint64_t hash = 0;
  switch (type.kind) {
    case type_kind::enumeration: hash = mix(text_hash(type.name), type.of->fingerprint); break;
    case type_kind::array: hash = mix(mix(fnv1a("array"), type.count), type.of->fingerprint); break;
    case type_kind::structure:
      hash = fnv1a("struct");
      for (const field_description& field : type.fields) {
        hash = mix(mix(fnv1a(field.name, hash), field.offset), field.type->fingerprint);
      }
      break;
    case type_kind::duration:
      hash = mix(mix(mix(fnv1a("duration"), static_cast<std::uint64_t>(type.numerator)),
                     static_cast<std::uint64_t>(type.denominator)),
                 type.of->fingerprint);
      break;
    case type_kind::time_point: hash = mix(text_hash(type.clock), type.of->fingerprint); break;
    case type_kind::opaque: hash = name_hash<T>(); break;
    default: hash = fnv1a(type.name); break;
  }
  if (type.named) hash = fnv1a(type_name<T>, hash);
  return mix(mix(hash, type.bytes), type.align);
}

template <class T>
constexpr type_description describe() {
  type_description type;
  type.bytes = sizeof(T);
  type.align = alignof(T);
  if constexpr (number<T>) {
    type.name = number_name<T>();
    if (!type.name.empty()) type.kind = number_kind<T>();
  } else if constexpr (std::is_same_v<T, std::byte>) {
    type.kind = type_kind::byte;
    type.name = "byte";
  } else {
    if constexpr (std::is_enum_v<T>) {
      type.kind = type_kind::enumeration;
      type.of = &description_of<std::underlying_type_t<T>>;
    } else if constexpr (requires { array_traits<T>::count; }) {
      type.kind = type_kind::array;
      type.count = array_traits<T>::count;
      type.of = &description_of<typename array_traits<T>::element>;
    } else if constexpr (requires { typename duration_traits<T>::period; }) {
      type.kind = type_kind::duration;
      type.numerator = duration_traits<T>::period::num;
      type.denominator = duration_traits<T>::period::den;
      type.of = &description_of<typename duration_traits<T>::representation>;
    } else if constexpr (requires { typename time_point_traits<T>::clock; }) {
      type.kind = type_kind::time_point;
      type.clock = unqualified(compilers_name<typename time_point_traits<T>::clock>());
      type.of = &description_of<typename time_point_traits<T>::duration>;
    } else if constexpr (fields_of<T>.complete) {
      type.kind = type_kind::structure;
      type.fields = fields_of<T>.fields;
    }
    type.named = type_name<T> != compilers_name<T>();
    if (type.named) {
      type.name = type_name<T>;
    } else if (type.count == 0 && type.denominator == 0 && type.clock.empty()) {  // those need no name
      type.name = unqualified(compilers_name<T>());
    }
  }
  type.fingerprint = fingerprint<T>(type);
  return type;
}

}  // namespace belfry::detail
