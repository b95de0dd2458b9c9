// Prints the fingerprints of some types, which must be the same for every compiler and dialect.
#include <belfry/describe.hpp>
#include <belfry/ring/type_fingerprint.hpp>

#include <array>
#include <chrono>
#include <complex>
#include <cstdint>
#include <cstdio>
#include <optional>
#include <tuple>
#include <utility>
#include <variant>

namespace my {

struct plain {
  int a;
};
enum class colour : std::uint8_t { red, blue };
template <class T>
struct box {
  T value;
  struct lid {
    T value;
  };
};
template <class T, std::size_t N>
struct row {
  T values[N];
};
template <std::uint64_t N>
struct sized {
  char bytes[N];
};
template <colour C>
struct painted {
  int a;
};
template <bool B, char C>
struct flagged {
  int a;
};
struct named {
  int a;
};

// Structures whose fields are known, and such whose fields must not be known to any compiler.
enum class side : std::uint8_t { buy, sell };
struct leg {
  std::uint32_t quantity;
  side way;
  long price;
};
BOOST_DESCRIBE_STRUCT(leg, (), (quantity, way, price))
struct header {
  std::chrono::sys_time<std::chrono::nanoseconds> at;
};
BOOST_DESCRIBE_STRUCT(header, (), (at))
struct order : header {
  leg legs[2];
  std::array<char, 8> symbol;
  std::optional<double> limit;
};
BOOST_DESCRIBE_STRUCT(order, (header), (legs, symbol, limit))
struct numbered {
  bool a;
  char b[5];
  leg c;
  const unsigned long long d;
  std::array<std::array<short, 2>, 3> e;
  std::chrono::seconds f;
  box<unsigned long> g;
  std::optional<long> h;
  std::byte i;
};
struct empty {};
struct tags {
  [[no_unique_address]] empty a;
  char b;
  alignas(4) char c;
  alignas(64) char d;
};
struct defaults {
  int a = 3;
  leg b{1, side::sell, 2};
};
struct unnamed {
  struct {
    int a;
  } b;
  enum { c, d } e;
};
struct bits {
  int a : 31;
  int b : 31;
};
struct anonymous {
  int a;
  union {
    int b;
    float c;
  };
};
struct derived : plain {
  int b;
};
struct anything {
  anything() = default;
  template <class T>
  anything(T);
};
struct with_anything {
  int a;
  anything b;
  int c;
};
struct many {
  char a[300], b, c, d, e, f, g, h, i, j, k, l, m, n, o, p, q, r, s, t, u, v, w, x, y, z, aa, bb, cc, dd, ee, ff;
};
struct too_many {
  char a[300], b, c, d, e, f, g, h, i, j, k, l, m, n, o, p, q, r, s, t, u, v, w, x, y, z, aa, bb, cc, dd, ee, ff, gg;
};

}  // namespace my

namespace {

struct hidden {
  int a;
};

template <class T>
void show(const char* name) {
  std::printf("%s %016llx, %zu fields\n", name, static_cast<unsigned long long>(belfry::type_fingerprint<T>()),
              belfry::detail::description_of<T>.fields.size());
}

}  // namespace

template <>
inline constexpr std::string_view belfry::type_name<my::named> = "another name";

__extension__ typedef __int128 int128;
__extension__ typedef unsigned __int128 uint128;

#define SHOW(...) show<__VA_ARGS__>(#__VA_ARGS__)

int main() {
  SHOW(bool);
  SHOW(char);
  SHOW(wchar_t);
  SHOW(char16_t);
  SHOW(long);
  SHOW(unsigned long long);
  SHOW(int128);
  SHOW(uint128);
  SHOW(float);
  SHOW(double);
  SHOW(long double);
#if defined(__SIZEOF_FLOAT128__)
  SHOW(__float128);
#endif
  SHOW(int128[2]);
  SHOW(long[2][3]);

  SHOW(std::array<unsigned long, 2>);
  SHOW(std::array<long long, 2>);
  SHOW(std::array<std::array<unsigned short, 3>, 2>);
  SHOW(std::array<uint128, 2>);
  SHOW(std::array<long double, 2>);
  SHOW(std::array<my::plain, 2>);
  SHOW(std::array<char, 16>);
  SHOW(std::optional<long>);
  SHOW(std::variant<int, unsigned long>);
  SHOW(std::pair<long, short>);
  SHOW(std::tuple<signed char, unsigned char, unsigned>);
  SHOW(std::complex<double>);
  SHOW(std::byte);

  SHOW(std::chrono::nanoseconds);
  SHOW(std::chrono::milliseconds);
  SHOW(std::chrono::seconds);
  SHOW(std::chrono::days);
  SHOW(std::chrono::duration<double>);
  SHOW(std::chrono::duration<std::uint32_t, std::ratio<1, 60>>);
  SHOW(std::chrono::system_clock::time_point);
  SHOW(std::chrono::steady_clock::time_point);
  SHOW(std::chrono::sys_days);
  SHOW(std::chrono::local_seconds);
  SHOW(std::chrono::year_month_day);
  SHOW(std::chrono::weekday);
  SHOW(std::array<std::chrono::sys_days, 2>);

  SHOW(my::plain);
  SHOW(my::colour);
  SHOW(my::named);
  SHOW(hidden);
  SHOW(my::box<unsigned long>);
  SHOW(my::box<long>::lid);
  SHOW(my::box<my::box<const unsigned char*>>);
  SHOW(my::box<hidden>);
  SHOW(my::box<int128>);
  SHOW(my::box<std::chrono::days>);
  SHOW(my::box<std::array<unsigned long, 2>>);
  SHOW(my::row<unsigned long, 3>);
  SHOW(my::row<my::box<short>, 3>);
  SHOW(my::sized<100>);
  SHOW(my::painted<my::colour::blue>);
  SHOW(my::flagged<true, 'x'>);

  SHOW(my::side);
  SHOW(my::leg);
  SHOW(my::order);
  SHOW(my::numbered);
  SHOW(my::empty);
  SHOW(my::tags);
  SHOW(my::defaults);
  SHOW(my::unnamed);
  SHOW(my::bits);
  SHOW(my::anonymous);
  SHOW(my::derived);
  SHOW(my::with_anything);
  SHOW(my::many);
  SHOW(my::too_many);
}
