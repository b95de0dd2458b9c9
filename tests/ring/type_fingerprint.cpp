#include <belfry/ring/type_fingerprint.hpp>

#include "../support/test.hpp"

using belfry::type_fingerprint;

namespace one {
struct sample {
  std::uint64_t a;
};
}  // namespace one
namespace two {
struct sample {
  std::uint64_t a;
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
  int value;
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

TEST_CASE("a type's fingerprint is a constant, and not nothing", "[type_fingerprint]") {
  constexpr std::uint64_t fingerprint = type_fingerprint<plain>();
  STATIC_REQUIRE(fingerprint != 0);
  CHECK(type_fingerprint<plain>() == fingerprint);
}

TEST_CASE("types of different names differ, though their bytes are the same", "[type_fingerprint]") {
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

TEST_CASE("of an arithmetic type only the kind counts", "[type_fingerprint]") {
  static_assert(sizeof(long) == sizeof(long long));
  CHECK(type_fingerprint<long>() == type_fingerprint<long long>());
  CHECK(type_fingerprint<unsigned long>() == type_fingerprint<unsigned long long>());
  CHECK(type_fingerprint<char16_t>() == type_fingerprint<std::uint16_t>());

  CHECK(type_fingerprint<int>() != type_fingerprint<unsigned>());
  CHECK(type_fingerprint<int>() != type_fingerprint<float>());
  CHECK(type_fingerprint<bool>() != type_fingerprint<unsigned char>());
  CHECK(type_fingerprint<signed char>() != type_fingerprint<unsigned char>());
}

TEST_CASE("an array is its element so many times", "[type_fingerprint]") {
  CHECK(type_fingerprint<long[4]>() == type_fingerprint<long long[4]>());
  CHECK(type_fingerprint<int[4]>() != type_fingerprint<int[5]>());
  CHECK(type_fingerprint<int[4]>() != type_fingerprint<unsigned[4]>());
  CHECK(type_fingerprint<int[2][3]>() != type_fingerprint<int[3][2]>());
  CHECK(type_fingerprint<int[1]>() != type_fingerprint<int>());
}

TEST_CASE("the whole name of a template's instance counts", "[type_fingerprint]") {
  CHECK(type_fingerprint<tagged<int, float>>() == type_fingerprint<tagged<int, float>>());
  CHECK(type_fingerprint<tagged<int, float>>() != type_fingerprint<tagged<int, double>>());
  CHECK(type_fingerprint<tagged<int[4], float>>() != type_fingerprint<tagged<int[4], double>>());
  CHECK(type_fingerprint<tagged<int[4], float>>() != type_fingerprint<tagged<int[5], float>>());
}

TEST_CASE("a specialised name takes the place of the compiler's", "[type_fingerprint]") {
  CHECK(type_fingerprint<old_name>() == type_fingerprint<new_name>());
  CHECK(type_fingerprint<old_name>() != type_fingerprint<plain>());
}

TEST_CASE("FNV-1a is FNV-1a, and blanks do not count", "[type_fingerprint]") {
  STATIC_REQUIRE(belfry::detail::fnv1a("") == 0xcbf29ce484222325);
  STATIC_REQUIRE(belfry::detail::fnv1a("a") == 0xaf63dc4c8601ec8c);
  STATIC_REQUIRE(belfry::detail::fnv1a("foobar") == 0x85944171f73967e8);
  STATIC_REQUIRE(belfry::detail::fnv1a("foo bar") == belfry::detail::fnv1a("foobar"));
}
