// What is known of a type at compile time. No type may fail to compile, and what is said of one must be right.
#include <belfry/describe.hpp>
#include <belfry/ring/spsc_ring.hpp>
#include <belfry/ring/byte_ring.hpp>

#include "support/test.hpp"

#include <array>
#include <atomic>
#include <bitset>
#include <chrono>
#include <complex>
#include <cstddef>
#include <cstdint>
#include <optional>
#include <string>
#include <tuple>
#include <variant>

using belfry::type_fingerprint;
using belfry::detail::description_of;
using belfry::detail::field_description;
using belfry::detail::type_description;
using belfry::detail::type_kind;

namespace describe_test {

int global;
int may_throw();

template <class T>
constexpr bool is_opaque = description_of<T>.kind == type_kind::opaque;

/// Whether T is a structure with these types and offsets.
struct field {
  std::string_view type;
  std::size_t offset;
  std::string_view name = {};
};
template <class T>
constexpr bool has(std::initializer_list<field> expected) {
  const type_description& type = description_of<T>;
  if (type.kind != type_kind::structure || type.fields.size() != expected.size()) return false;
  if (type.bytes != sizeof(T) || type.align != alignof(T)) return false;
  std::size_t i = 0;
  for (const field& e : expected) {
    const field_description& f = type.fields[i++];
    if (f.type->name != e.type || f.offset != e.offset || f.name != e.name) return false;
  }
  return true;
}

// ---- numbers

__extension__ typedef __int128 int128;
enum class side : std::uint8_t { buy, sell };

static_assert(description_of<bool>.kind == type_kind::boolean && description_of<bool>.name == "bool");
static_assert(description_of<char>.kind == type_kind::character);
static_assert(description_of<std::byte>.kind == type_kind::byte);
static_assert(description_of<signed char>.name == "i8");
static_assert(description_of<unsigned long>.name == (sizeof(long) == 4 ? "u32" : "u64"));
static_assert(description_of<unsigned long long>.name == "u64");
static_assert(description_of<char16_t>.name == "u16");
static_assert(description_of<int128>.name == "i128");
static_assert(description_of<float>.name == "f32" && description_of<double>.name == "f64");
static_assert(description_of<side>.kind == type_kind::enumeration && description_of<side>.of->name == "u8");
static_assert(description_of<side>.name == "side");
static_assert(is_opaque<int*>);
static_assert(is_opaque<std::nullptr_t>);

// ---- arrays and chrono

static_assert(description_of<int[3]>.kind == type_kind::array && description_of<int[3]>.count == 3);
static_assert(description_of<const int[2][3]>.of->count == 3);
static_assert(description_of<std::array<char, 5>>.count == 5);
static_assert(description_of<std::array<char, 5>>.of->kind == type_kind::character);
static_assert(is_opaque<std::array<char, 0>>);
static_assert(description_of<std::chrono::milliseconds>.denominator == 1000);
static_assert(description_of<std::chrono::hours>.numerator == 3600);
static_assert(description_of<std::chrono::duration<float>>.of->name == "f32");
static_assert(description_of<std::chrono::sys_days>.clock == "system_clock");
static_assert(description_of<std::chrono::sys_days>.of->numerator == 86400);
static_assert(is_opaque<std::chrono::year_month_day>);

// ---- aggregates

struct empty {};
struct plain {
  int a;
  double b;
};
struct qualified {
  side a;
  const int b;
  std::uint64_t c;
};
struct arrays {
  int a[3];
  char text[48];
  long m[2][3];
  plain rows[5];
  std::array<std::array<std::uint16_t, 3>, 2> nested;
};
struct defaults {
  int a = 3;
  plain b{1, 2};
  int c = may_throw();
};
struct alignas(64) aligned {
  int a;
};
struct aligned_members {  // with the natural size
  double a;
  char b;
  alignas(4) char c;
};
struct far_members {
  char a;
  alignas(256) char b;
  char c;
};
struct overlapping {
  [[no_unique_address]] empty a;
  int b;
  [[no_unique_address]] empty c;
};
struct large {
  int a;
  char data[1 << 24];
  int b;
};
union number {
  std::int64_t i;
  double d;
};
class closed {
 public:
  closed() = default;
  int a() const { return a_; }

 private:
  int a_ = 0;
};
struct with_closed {
  int a;
  closed b;
  int c;
};
struct library {
  std::optional<double> a;
  std::variant<int, double> b;
  std::complex<double> c;
  std::chrono::nanoseconds d;
  std::chrono::steady_clock::time_point e;
  std::chrono::year_month_day f;
  std::bitset<100> g;
  std::byte h[8];
};
struct unnamed_member {
  int a;
  struct {
    int x;
    std::uint8_t y;
  } b;
};
typedef int four __attribute__((vector_size(16)));
struct extended {
  int128 a;
  four b;
};
struct exactly_32 {
  std::uint8_t a[1], b, c, d, e, f, g, h, i, j, k, l, m, n, o, p, q, r, s, t, u, v, w, x, y, z, aa, bb, cc, dd, ee, ff;
};
struct from_anything {
  from_anything() = default;
  template <class T>
  from_anything(T) {
    static_assert(sizeof(T) == 1000, "is not to be instantiated");
  }
};
struct with_from_anything {
  int a;
  from_anything b;
  int c;
};
struct with_address_operator {
  int a;
  int* operator&() = delete;
};
struct with_addresses {
  int a;
  with_address_operator b;
};
template <class T>
struct box {
  T value;
};
struct final_one final {
  short a;
};

static_assert(has<empty>({}));
static_assert(has<plain>({{"i32", 0}, {"f64", 8}}));
static_assert(has<qualified>({{"side", 0}, {"i32", 4}, {"u64", 8}}));
static_assert(description_of<arrays>.fields.size() == 5);
static_assert(description_of<arrays>.fields[1].type->count == 48);
static_assert(description_of<arrays>.fields[2].type->of->count == 3);
static_assert(description_of<arrays>.fields[3].type->of == &description_of<plain>);
static_assert(description_of<arrays>.fields[4].offset == offsetof(arrays, nested));
static_assert(has<defaults>({{"i32", 0}, {"plain", 8}, {"i32", 24}}));
static_assert(has<aligned>({{"i32", 0}}));
static_assert(has<aligned_members>({{"f64", 0}, {"char", 8}, {"char", 12}}));
static_assert(has<far_members>({{"char", 0}, {"char", 256}, {"char", 257}}));
static_assert(description_of<large>.fields[2].offset == 4 + (1 << 24));
static_assert(has<with_closed>({{"i32", 0}, {"closed", 4}, {"i32", 8}}));
static_assert(is_opaque<closed>);
static_assert(is_opaque<number>);
static_assert(description_of<library>.fields.size() == 8);
static_assert(description_of<library>.fields[3].offset == offsetof(library, d));
static_assert(description_of<library>.fields[7].offset == offsetof(library, h));
static_assert(has<extended>({{"i128", 0}, {"", 16}}) || description_of<extended>.fields.size() == 2);
static_assert(description_of<exactly_32>.fields.size() == 32);
static_assert(is_opaque<with_from_anything>);
static_assert(description_of<with_addresses>.fields.size() == 2);
static_assert(has<box<const unsigned char>>({{"u8", 0}}));
static_assert(has<box<box<plain>>>({{"box<describe_test::plain>", 0}}));
static_assert(has<final_one>({{"i16", 0}}));

// ---- what has to compile, and is opaque

struct bits {
  unsigned a : 3;
  unsigned : 5;
  unsigned b : 30;
  bool c : 1;
};
struct whole_bits {
  int a : 31;
  int b : 31;
};
struct const_bits {
  int a;
  const int b : 3;
};
struct volatile_bits {
  volatile int a : 3;
  const volatile int b : 3;
  int c;
};
struct with_volatile {
  int a;
  volatile std::uint64_t b;
};
struct anonymous_union {
  int kind;
  union {
    std::uint64_t i;
    double d;
  };
};
struct anonymous_first {
  union {
    int i;
    char c;
  };
  int kind;
};
struct with_union {
  int kind;
  number value;
};
struct derived : plain, empty {
  int c;
};
struct only_derived : plain {};
struct empty_base : empty {
  int c;
};
struct with_protected : closed {
  int a;
};
struct immovable {
  immovable() = default;
  immovable(immovable&&) = delete;
  int a;
};
struct explicitly_copied {
  explicitly_copied() = default;
  explicit explicitly_copied(const explicitly_copied&) = default;
  int a;
};
struct without_default {
  explicit without_default(int n) : a(n) {}
  int a;
};
struct unusual {
  int a;
  immovable b;
  explicitly_copied c;
};
struct without_default_inside {
  int a;
  without_default b;
};
struct default_without_default {
  int a;
  without_default b = without_default(3);
  int c;
};
struct default_rows {
  int a;
  without_default b[2] = {without_default(3), without_default(4)};
};
struct explicit_default {
  explicit explicit_default() {}
  int a;
};
struct explicit_default_inside {
  int a;
  explicit_default b = explicit_default();
  int c;
};
struct greedy {
  template <class T>
  greedy(T) {}
  int a = 0;
};
struct default_greedy {
  int a;
  greedy b = greedy(3);
  int c;
};
struct reference {
  int& a;
};
struct default_reference {
  int a = 1;
  int& b = global;
};
struct const_reference {
  int a = 1;
  const int& b = global;
  int c = 1;
};
struct rvalue_reference {
  int a = 1;
  int&& b = static_cast<int&&>(global);
};
struct too_many {
  std::uint8_t a, b, c, d, e, f, g, h, i, j, k, l, m, n, o, p, q, r, s, t, u, v, w, x, y, z, aa, bb, cc, dd, ee, ff, gg;
};
struct many_words {
  std::uint64_t words[2000];
  std::uint8_t a, b, c, d, e, f, g, h, i, j, k, l, m, n, o, p, q, r, s, t, u, v, w, x, y, z, aa, bb, cc, dd, ee, ff, gg;
};
struct polymorphic {
  virtual int a() { return 0; }
  int b;
};
struct owner {
  std::string text;
};
struct pinned {
  pinned(const pinned&) = delete;
  int a;
};
#if defined(__GNUC__)
#pragma GCC diagnostic ignored "-Wpedantic"
struct zero_inside {
  int a;
  int b[0];
  int c;
};
struct zero_last {
  int a;
  int b[0];
};
struct anonymous_struct {
  int a;
  __extension__ struct {
    int b;
    int c;
  };
};
#endif

template <class T>
constexpr bool compiles = description_of<T>.bytes == sizeof(T) && type_fingerprint<T>() != 0;

static_assert(is_opaque<bits>);
static_assert(is_opaque<whole_bits>);
static_assert(is_opaque<const_bits>);
static_assert(is_opaque<volatile_bits>);
static_assert(is_opaque<with_volatile>);
static_assert(is_opaque<anonymous_union>);
static_assert(is_opaque<anonymous_first>);
static_assert(is_opaque<derived>);
static_assert(is_opaque<only_derived>);
static_assert(is_opaque<empty_base>);
static_assert(is_opaque<with_protected>);
static_assert(compiles<with_union>);
static_assert(compiles<immovable>);
static_assert(compiles<explicitly_copied>);
static_assert(compiles<unusual>);
static_assert(is_opaque<without_default_inside>);
static_assert(is_opaque<default_without_default>);
static_assert(is_opaque<default_rows>);
static_assert(is_opaque<explicit_default_inside>);
static_assert(is_opaque<default_greedy>);
static_assert(is_opaque<reference>);
static_assert(is_opaque<default_reference>);
static_assert(is_opaque<const_reference>);
static_assert(is_opaque<rvalue_reference>);
static_assert(is_opaque<too_many>);
static_assert(is_opaque<many_words>);
static_assert(is_opaque<polymorphic>);
static_assert(is_opaque<owner>);
static_assert(is_opaque<std::tuple<int, long>>);
static_assert(is_opaque<std::atomic<int>>);
static_assert(is_opaque<zero_inside>);
static_assert(is_opaque<zero_last>);
static_assert(is_opaque<anonymous_struct>);
static_assert(compiles<overlapping>);
static_assert(compiles<pinned>);

struct __attribute__((packed)) packed {
  char a;
  std::uint32_t b;
  char c;
  double d;
};
struct __attribute__((packed)) packed_without_effect {
  std::uint32_t a;
  std::uint32_t b;
};
#pragma pack(push, 4)
struct pragma_packed {
  std::uint32_t a;
  std::uint32_t b;
  std::uint64_t c;
};
#pragma pack(pop)
static_assert(is_opaque<packed>);
static_assert(is_opaque<packed_without_effect>);
static_assert(is_opaque<pragma_packed>);

// ---- Boost.Describe

struct tick {
  std::uint64_t seq;
  double price;
  char text[5];
};
BOOST_DESCRIBE_STRUCT(tick, (), (seq, price, text))

struct base {
  std::uint32_t id;
};
BOOST_DESCRIBE_STRUCT(base, (), (id))
struct inheriting : base {
  std::uint16_t flags;
  bool done;
};
BOOST_DESCRIBE_STRUCT(inheriting, (base), (done, flags))

class hiding {
 public:
  hiding() = default;

 private:
  std::int32_t a_ = 0;
  std::optional<double> b_;
  BOOST_DESCRIBE_CLASS(hiding, (), (), (), (a_, b_))
};
struct from_undescribed : plain {
  int c;
};
BOOST_DESCRIBE_STRUCT(from_undescribed, (plain), (c))
struct shadowing : base {
  std::uint64_t id;
};
BOOST_DESCRIBE_STRUCT(shadowing, (base), (id))
struct privately : private base {
  std::uint64_t other;
};
BOOST_DESCRIBE_STRUCT(privately, (base), (other))
struct __attribute__((packed)) described_packed {
  char a;
  std::uint32_t b;
  char c;
  double d;
};
BOOST_DESCRIBE_STRUCT(described_packed, (), (a, b, c, d))
struct no_members {
  int a;
};
BOOST_DESCRIBE_STRUCT(no_members, (), ())
struct described_tags {
  [[no_unique_address]] empty a;
  std::uint32_t b;
};
BOOST_DESCRIBE_STRUCT(described_tags, (), (a, b))
template <class T>
struct pair_of {
  T first;
  T second;
  BOOST_DESCRIBE_CLASS(pair_of, (), (first, second), (), ())
};
struct far_and_wide {
  char large[1 << 22];
  int a;
};
BOOST_DESCRIBE_STRUCT(far_and_wide, (), (a, large))

static_assert(description_of<tick>.fields.size() == 3);
static_assert(description_of<tick>.fields[1].name == "price" && description_of<tick>.fields[1].offset == 8);
static_assert(description_of<tick>.fields[2].type->of->kind == type_kind::character);
static_assert(has<base>({{"u32", 0, "id"}}));
static_assert(has<inheriting>({{"u32", 0, "id"}, {"u16", 4, "flags"}, {"bool", 6, "done"}}));
static_assert(description_of<hiding>.fields[1].offset == 8 && description_of<hiding>.fields[1].name == "b_");
static_assert(is_opaque<from_undescribed>);
static_assert(is_opaque<shadowing>);
static_assert(compiles<privately>);
static_assert(has<described_packed>({{"char", 0, "a"}, {"u32", 1, "b"}, {"char", 5, "c"}, {"f64", 6, "d"}}));
static_assert(is_opaque<no_members>);
static_assert(has<described_tags>({{"empty", 0, "a"}, {"u32", 0, "b"}}));
static_assert(has<pair_of<float>>({{"f32", 0, "first"}, {"f32", 4, "second"}}));
static_assert(is_opaque<far_and_wide>);  // the members are not in their order, and far away

}  // namespace describe_test

namespace elsewhere {
struct tick {
  std::uint64_t seq;
  double price;
  char text[5];
};
BOOST_DESCRIBE_STRUCT(tick, (), (seq, price, text))
struct renamed {
  std::uint64_t seq;
  double cost;
  char text[5];
};
BOOST_DESCRIBE_STRUCT(renamed, (), (seq, cost, text))
struct numbered {
  std::uint64_t seq;
  double price;
  char text[5];
};
struct swapped {
  double price;
  std::uint64_t seq;
  char text[5];
};
struct versioned {
  std::uint64_t seq;
  double price;
  char text[5];
};
BOOST_DESCRIBE_STRUCT(versioned, (), (seq, price, text))
enum class side : std::uint8_t { sell, buy };
}  // namespace elsewhere
template <>
inline constexpr std::string_view belfry::type_name<elsewhere::versioned> = "tick, version 2";

TEST_CASE("types with the same fields are one type, whatever their names", "[describe]") {
  CHECK(type_fingerprint<describe_test::tick>() == type_fingerprint<elsewhere::tick>());
  CHECK(type_fingerprint<describe_test::tick>() != type_fingerprint<elsewhere::renamed>());
  CHECK(type_fingerprint<describe_test::tick>() != type_fingerprint<elsewhere::numbered>());
  CHECK(type_fingerprint<elsewhere::numbered>() != type_fingerprint<elsewhere::swapped>());
  CHECK(type_fingerprint<describe_test::side>() == type_fingerprint<elsewhere::side>());
  CHECK(type_fingerprint<int[3]>() == type_fingerprint<std::array<int, 3>>());
}

TEST_CASE("a name that the user gave to a type counts as well as its fields", "[describe]") {
  CHECK(type_fingerprint<elsewhere::versioned>() != type_fingerprint<elsewhere::tick>());
  CHECK(belfry::detail::description_of<elsewhere::versioned>.name == "tick, version 2");
  CHECK(belfry::detail::description_of<elsewhere::versioned>.fields.size() == 3);
}

TEST_CASE("offsets are those of the members", "[describe]") {
  describe_test::arrays value;
  const type_description& type = description_of<describe_test::arrays>;
  const auto at = [&](const void* member) {
    return static_cast<std::size_t>(static_cast<const char*>(member) - reinterpret_cast<const char*>(&value));
  };
  CHECK(type.fields[0].offset == at(&value.a));
  CHECK(type.fields[1].offset == at(&value.text));
  CHECK(type.fields[2].offset == at(&value.m));
  CHECK(type.fields[3].offset == at(&value.rows));
  CHECK(type.fields[4].offset == at(&value.nested));
}

TEST_CASE("a ring of values has the description of their type", "[describe]") {
  CHECK(belfry::spsc_ring<describe_test::tick, 4>::traits.type == &description_of<describe_test::tick>);
  CHECK(belfry::byte_ring::traits.type == nullptr);
}
