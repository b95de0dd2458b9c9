// Which types are recognised as holding an address. Types without one must not be refused, and no type may
// fail to compile. The static_asserts run on every compiler that compiles this file.
#include "support/test.hpp"

#include <belfry/shareable.hpp>

#include <array>
#include <atomic>
#include <bitset>
#include <chrono>
#include <complex>
#include <coroutine>
#include <cstdint>
#include <functional>
#include <optional>
#include <span>
#include <string>
#include <string_view>
#include <tuple>
#include <variant>

namespace shareable_test {

int global;
int may_throw();

// ---- types without an address

struct empty {};
struct plain {
  int a;
  double b;
};
enum class colour { red };
struct qualified {
  colour a;
  const int b;
  volatile std::uint64_t c;
};
struct bits {
  unsigned a : 3;
  unsigned : 5;
  unsigned b : 30;
  bool c : 1;
};
struct arrays {
  int a[3];
  char text[48];
  long m[2][3];
  plain rows[5];
};
union number {
  std::int64_t i;
  double d;
};
union address {
  void* p;
  std::uint64_t u;
};
struct tagged {
  int kind;
  union {
    std::uint64_t i;
    void* p;
  };
};
struct with_union {
  int kind;
  number value;
};
class closed {
 public:
  closed() = default;
  explicit closed(int a) : a_(a) {}
  int a() const { return a_ + (p_ != nullptr); }

 private:
  void* p_ = nullptr;
  int a_ = 0;
};
struct with_closed {
  int a;
  closed b;
  int c;
};
struct derived : plain, empty {
  int c;
};
struct with_protected : closed {
  int a;
};
struct defaults {
  int a = 3;
  plain b{1, 2};
  int c = may_throw();
  int d = may_throw();
};
struct alignas(64) aligned {
  int a;
};
struct overlapping {
  [[no_unique_address]] empty a;
  int b;
  [[no_unique_address]] empty c;
};
struct library {
  std::optional<int> a;
  std::variant<int, double> b;
  std::complex<double> c;
  std::chrono::nanoseconds d;
  std::chrono::steady_clock::time_point e;
  std::chrono::year_month_day f;
  std::bitset<100> g;
  std::byte h[8];
  std::atomic<int> i;
  std::array<std::array<plain, 2>, 3> j;
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
struct large {
  int a;
  char data[1 << 24];
};
struct many {
  defaults rows[2000];
};
__extension__ typedef __int128 int128;
typedef int four __attribute__((vector_size(16)));
struct extended {
  int128 a;
  four b;
};
struct owner {
  std::string text;
};

static_assert(belfry::shareable<int>);
static_assert(belfry::shareable<colour>);
static_assert(belfry::shareable<std::nullptr_t>);
static_assert(belfry::shareable<int128>);
static_assert(belfry::shareable<int[3][4]>);
static_assert(belfry::shareable<empty>);
static_assert(belfry::shareable<plain>);
static_assert(belfry::shareable<const plain>);
static_assert(belfry::shareable<qualified>);
static_assert(belfry::shareable<bits>);
static_assert(belfry::shareable<arrays>);
static_assert(belfry::shareable<number>);
static_assert(belfry::shareable<address>);
static_assert(belfry::shareable<tagged>);
static_assert(belfry::shareable<with_union>);
static_assert(belfry::shareable<closed>);
static_assert(belfry::shareable<with_closed>);
static_assert(belfry::shareable<derived>);
static_assert(belfry::shareable<with_protected>);
static_assert(belfry::shareable<defaults>);
static_assert(belfry::shareable<aligned>);
static_assert(belfry::shareable<overlapping>);
static_assert(belfry::shareable<library>);
static_assert(belfry::shareable<with_from_anything>);
static_assert(belfry::shareable<unusual>);
static_assert(belfry::shareable<without_default_inside>);
static_assert(belfry::shareable<large>);
static_assert(belfry::shareable<many>);
static_assert(belfry::shareable<extended>);
static_assert(belfry::shareable<owner>);  // it is refused because it is not trivially copyable
static_assert(belfry::shareable<std::tuple<int, long>>);

// ---- types with an address

struct named {
  const char* name;
  int a;
};
struct last {
  arrays a;
  char text[100];
  void* p;
};
struct behind_bits {
  unsigned a : 3;
  unsigned : 0;
  unsigned b : 30;
  void* p;
};
struct in_array {
  int a;
  const char* p[3];
};
struct in_rows {
  named rows[3];
};
struct inside {
  plain a;
  struct {
    int x;
    struct {
      void* q;
    } y[2];
  } b;
};
struct inherited : named {
  int c;
};
struct by_default {
  int a = may_throw();
  void* p = nullptr;
};
struct behind_union {
  int kind;
  union {
    int i;
    double d;
  };
  void* p;
};
struct behind_closed {
  closed a;
  int* p;
};
struct node {
  node* next;
  int a;
};
struct view {
  int a;
  std::string_view text;
};
struct views {
  std::array<std::span<int>, 2> a;
};
struct wrapped {
  std::reference_wrapper<int> a;
};
struct perhaps {
  std::optional<const char*> a;
};
struct failed {
  std::error_code a;
};
struct callback {
  void (*a)(int);
};
struct members {
  int plain::*a;
};
struct methods {
  int (closed::*a)() const;
};
struct reference {
  int& a;
};
struct default_reference {
  int a = 1;
  int& b = global;
};
struct at_once {
  void* p;
  char text[4096];
};
template <class T>
struct box {
  T value;
};

static_assert(!belfry::shareable<int*>);
static_assert(!belfry::shareable<const void* const>);
static_assert(!belfry::shareable<int&>);
static_assert(!belfry::shareable<const char* [4]>);
static_assert(!belfry::shareable<int plain::*>);
static_assert(!belfry::shareable<void (*)()>);
static_assert(!belfry::shareable<std::pair<int, int*>>);
static_assert(!belfry::shareable<std::tuple<int, int&>>);
static_assert(!belfry::shareable<std::variant<int, char*>>);
static_assert(!belfry::shareable<std::coroutine_handle<>>);
static_assert(!belfry::shareable<std::u8string_view>);
static_assert(!belfry::shareable<named>);
static_assert(!belfry::shareable<const named>);
static_assert(!belfry::shareable<last>);
static_assert(!belfry::shareable<behind_bits>);
static_assert(!belfry::shareable<in_array>);
static_assert(!belfry::shareable<in_rows>);
static_assert(!belfry::shareable<inside>);
static_assert(!belfry::shareable<inherited>);
static_assert(!belfry::shareable<by_default>);
static_assert(!belfry::shareable<behind_union>);
static_assert(!belfry::shareable<behind_closed>);
static_assert(!belfry::shareable<node>);
static_assert(!belfry::shareable<view>);
static_assert(!belfry::shareable<views>);
static_assert(!belfry::shareable<wrapped>);
static_assert(!belfry::shareable<perhaps>);
static_assert(!belfry::shareable<failed>);
static_assert(!belfry::shareable<callback>);
static_assert(!belfry::shareable<members>);
static_assert(!belfry::shareable<methods>);
static_assert(!belfry::shareable<reference>);
static_assert(!belfry::shareable<default_reference>);
static_assert(!belfry::shareable<at_once>);
static_assert(!belfry::shareable<box<box<int*>>>);

// ---- specialised by their users

struct insisted {
  void* local;
  int a;
};
struct descriptor {
  int number;
};

}  // namespace shareable_test

template <>
inline constexpr bool belfry::shareable<shareable_test::insisted> = true;
template <>
inline constexpr bool belfry::shareable<shareable_test::descriptor> = false;

namespace shareable_test {

struct with_insisted {
  insisted a;
  insisted b[3];
  std::array<insisted, 2> c;
};
struct with_descriptor {
  int a;
  descriptor b;
};
static_assert(belfry::shareable<insisted>);
static_assert(belfry::shareable<with_insisted>);
static_assert(!belfry::shareable<descriptor[2]>);
static_assert(!belfry::shareable<with_descriptor>);

}  // namespace shareable_test

// compilers/refused.sh checks that other types do not compile.
TEST_CASE("a ring or block holds a type with an address if `shareable` is specialised", "[shareable]") {
  using namespace belfry;
  using shareable_test::insisted;
  net::io_context io;
  const std::string name = test::unique_name("insisted");
  channel<latest<insisted>>::producer tx(io, name);
  CHECK(tx.try_send({&io, 7}));
  channel<latest<insisted>>::consumer rx(io, name);
  CHECK(rx.try_receive()->local == &io);
  shared_memory block = shared_memory::create(name + "-block", 4096);
  const unlink_on_destroy owner(block);
  block.as<insisted>()[1].a = 7;
  CHECK(std::as_const(block).as<insisted>()[1].a == 7);
}
