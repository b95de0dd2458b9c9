#include <belfry/ring/type_fingerprint.hpp>

#include "support/test.hpp"

#include <array>
#include <chrono>

using belfry::type_fingerprint;

namespace one {
struct sample {
  std::uint64_t a : 60;
};
}  // namespace one
namespace two {
struct sample {
  std::uint64_t a : 60;
};
}  // namespace two

namespace fingerprint_test {

struct plain {
  int a;
};
struct wide {
  std::int64_t a;
};
struct alignas(64) aligned {
  std::int64_t a;
};
enum class colour : int { red };
enum class fruit : int { apple };

template <class A, class B>
struct tagged {
  int value : 30;  // its fields are not known
};

struct old_name {
  int a;
};
struct new_name {
  int a;
};

}  // namespace fingerprint_test

template <>
inline constexpr std::string_view belfry::type_name<fingerprint_test::old_name> = "renamed";
template <>
inline constexpr std::string_view belfry::type_name<fingerprint_test::new_name> = "renamed";

using namespace fingerprint_test;

TEST_CASE("a type's fingerprint is a constant other than 0", "[type_fingerprint]") {
  constexpr std::uint64_t fingerprint = type_fingerprint<plain>();
  STATIC_REQUIRE(fingerprint != 0);
  CHECK(type_fingerprint<plain>() == fingerprint);
}

TEST_CASE("types whose fields are not known differ by their names, and enumerations", "[type_fingerprint]") {
  CHECK(type_fingerprint<one::sample>() != type_fingerprint<two::sample>());
  CHECK(type_fingerprint<colour>() != type_fingerprint<fruit>());
  CHECK(type_fingerprint<colour>() != type_fingerprint<int>());
  CHECK(type_fingerprint<plain>() != type_fingerprint<int>());
}

TEST_CASE("size and alignment count", "[type_fingerprint]") {
  CHECK(type_fingerprint<plain>() != type_fingerprint<wide>());
  CHECK(type_fingerprint<wide>() != type_fingerprint<aligned>());
  CHECK(type_fingerprint<std::int32_t>() != type_fingerprint<std::int64_t>());
  CHECK(type_fingerprint<float>() != type_fingerprint<double>());
}

/// Another type of the same kind and size as long, which on Windows is as small as int.
using as_long = std::conditional_t<sizeof(long) == sizeof(int), int, long long>;

TEST_CASE("only the kind of an arithmetic type counts", "[type_fingerprint]") {
  CHECK(type_fingerprint<long>() == type_fingerprint<as_long>());
  CHECK(type_fingerprint<unsigned long>() == type_fingerprint<std::make_unsigned_t<as_long>>());
  CHECK(type_fingerprint<char16_t>() == type_fingerprint<std::uint16_t>());

  CHECK(type_fingerprint<int>() != type_fingerprint<unsigned>());
  CHECK(type_fingerprint<int>() != type_fingerprint<float>());
  CHECK(type_fingerprint<bool>() != type_fingerprint<unsigned char>());
  CHECK(type_fingerprint<signed char>() != type_fingerprint<unsigned char>());
}

TEST_CASE("an array's fingerprint depends on element and length", "[type_fingerprint]") {
  CHECK(type_fingerprint<std::int64_t[4]>() == type_fingerprint<long long[4]>());
  CHECK(type_fingerprint<int[4]>() != type_fingerprint<int[5]>());
  CHECK(type_fingerprint<int[4]>() != type_fingerprint<unsigned[4]>());
  CHECK(type_fingerprint<int[2][3]>() != type_fingerprint<int[3][2]>());
  CHECK(type_fingerprint<int[1]>() != type_fingerprint<int>());
}

TEST_CASE("the whole name of a template instance counts", "[type_fingerprint]") {
  CHECK(type_fingerprint<tagged<int, float>>() == type_fingerprint<tagged<int, float>>());
  CHECK(type_fingerprint<tagged<int, float>>() != type_fingerprint<tagged<int, double>>());
  CHECK(type_fingerprint<tagged<int[4], float>>() != type_fingerprint<tagged<int[4], double>>());
  CHECK(type_fingerprint<tagged<int[4], float>>() != type_fingerprint<tagged<int[5], float>>());
}

TEST_CASE("a specialised type_name replaces the compiler's name", "[type_fingerprint]") {
  CHECK(type_fingerprint<old_name>() == type_fingerprint<new_name>());
  CHECK(type_fingerprint<old_name>() != type_fingerprint<plain>());
}

// Compared between compilers in compilers/fingerprints.sh.
TEST_CASE("template arguments count by their own fingerprints", "[type_fingerprint]") {
  CHECK(type_fingerprint<tagged<long, short>>() == type_fingerprint<tagged<as_long, short>>());
  CHECK(type_fingerprint<tagged<long, short>>() != type_fingerprint<tagged<unsigned long, short>>());
  CHECK(type_fingerprint<tagged<old_name, int>>() == type_fingerprint<tagged<new_name, int>>());
  CHECK(type_fingerprint<tagged<int, float>>() != type_fingerprint<tagged<float, int>>());
  CHECK(type_fingerprint<tagged<const int, int>>() != type_fingerprint<tagged<int, int>>());
  CHECK(type_fingerprint<std::array<long, 2>>() == type_fingerprint<std::array<as_long, 2>>());
  CHECK(type_fingerprint<std::array<long, 2>>() != type_fingerprint<std::array<unsigned long, 2>>());
  CHECK(type_fingerprint<std::array<int, 2>>() != type_fingerprint<std::array<int, 3>>());
  CHECK(type_fingerprint<std::array<one::sample, 2>>() != type_fingerprint<std::array<two::sample, 2>>());
  CHECK(type_fingerprint<std::array<std::array<int, 2>, 3>>() !=
        type_fingerprint<std::array<std::array<int, 3>, 2>>());
}

TEST_CASE("durations of different units are different types", "[type_fingerprint]") {
  using namespace std::chrono;
  CHECK(type_fingerprint<nanoseconds>() != type_fingerprint<microseconds>());
  CHECK(type_fingerprint<seconds>() != type_fingerprint<duration<std::uint64_t>>());
  CHECK(type_fingerprint<seconds>() != type_fingerprint<duration<double>>());
  CHECK(type_fingerprint<seconds>() == type_fingerprint<duration<long long>>());
  CHECK(type_fingerprint<system_clock::time_point>() != type_fingerprint<steady_clock::time_point>());
  CHECK(type_fingerprint<sys_days>() != type_fingerprint<sys_seconds>());
}

TEST_CASE("extended arithmetic types have fingerprints", "[type_fingerprint]") {
  __extension__ using int128 = __int128;
  __extension__ using uint128 = unsigned __int128;
  CHECK(type_fingerprint<int128>() != type_fingerprint<uint128>());
  CHECK(type_fingerprint<int128>() != type_fingerprint<long double>());
  CHECK(type_fingerprint<tagged<int128, int>>() != type_fingerprint<tagged<uint128, int>>());
#if defined(__SIZEOF_FLOAT128__)
  CHECK(type_fingerprint<__float128>() != type_fingerprint<long double>());  // both have 16 bytes
#endif
}

TEST_CASE("names that two compilers write differently are the same text", "[type_fingerprint]") {
  const auto same = [](std::string_view a, std::string_view b) {
    return belfry::detail::text_hash(a) == belfry::detail::text_hash(b);
  };
  CHECK(same("a<long unsigned int>", "a<unsigned long>"));
  CHECK(same("a<__int128 unsigned, 1>", "a<unsigned __int128, 1UL>"));
  CHECK(same("a<long long int*, short unsigned int [3]>", "a<long long *, unsigned short[3]>"));
  CHECK(same("a<long long int>", "a<long>") == (sizeof(long) == sizeof(long long)));
  CHECK(same("{anonymous}::a", "(anonymous namespace)::a"));
  CHECK(same("std::__cxx11::a<std::_V2::b> >", "std::a<std::b>>"));
  CHECK_FALSE(same("a<unsigned>", "a<int>"));
  CHECK_FALSE(same("a<long double>", "a<double>"));
  CHECK_FALSE(same("a<signed char>", "a<char>"));
  CHECK_FALSE(same("a<unsigned char>", "a<char>"));
  CHECK_FALSE(same("a<1>", "a<11>"));
  CHECK_FALSE(same("a::b", "b"));
  CHECK_FALSE(same("long_a", "longer_a"));
  CHECK_FALSE(same("_a::b", "b"));  // not a namespace of the implementation
  CHECK(belfry::detail::without_arguments("a<b>::c<d<e>, f>") == "a<b>::c");
  CHECK(belfry::detail::without_arguments("a<b>::c") == "a<b>::c");
}

TEST_CASE("the hash is FNV-1a and ignores blanks", "[type_fingerprint]") {
  STATIC_REQUIRE(belfry::detail::fnv1a("") == 0xcbf29ce484222325);
  STATIC_REQUIRE(belfry::detail::fnv1a("a") == 0xaf63dc4c8601ec8c);
  STATIC_REQUIRE(belfry::detail::fnv1a("foobar") == 0x85944171f73967e8);
  STATIC_REQUIRE(belfry::detail::fnv1a("foo bar") == belfry::detail::fnv1a("foobar"));
}
