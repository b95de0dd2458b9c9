// A channel that is made from the description of another one.
#include "support/rings.hpp"

#include <belfry/any_channel.hpp>
#include <belfry/detail/segment/described_channel.hpp>
#include <belfry/inspect.hpp>
#include <belfry/remove.hpp>

namespace belfry::test::described_channel_tests {

namespace {

using typed_rings = std::tuple<of_values, of_bytes, of_ring<work_ring<tick, 16>>,
                               of_ring<broadcast_ring<tick, 16, overflow::block>>,
                               of_ring<broadcast_ring<tick, 16, overflow::overwrite>>, of_ring<latest<tick>>>;

std::error_code made(std::string_view name, std::string_view text, std::string* why = nullptr) {
  detail::failure f;
  detail::make_channel(name, text, 0600, f);
  if (why != nullptr) *why = f.what;
  return f.code;
}

}  // namespace

TEMPLATE_LIST_TEST_CASE("described_channel: a channel like another one, for programs that have the type",
                        "[described_channel]", typed_rings) {
  const std::string here = unique_name("described-here");
  const std::string there = unique_name("described-there");
  using channel = typename TestType::channel;
  net::io_context io;
  TestType values;
  const channel_options o = TestType::options();
  typename channel::producer tx(io, here, o);
  tx.try_send(values.make(1));
  detail::failure f;
  const std::string text = detail::describe_channel(here, f);
  REQUIRE_FALSE(f);
  REQUIRE_FALSE(made(there, text));
  const channel_info a = inspect(here);
  const channel_info b = inspect(there);
  CHECK(b.problem.empty());
  CHECK(b.kind == a.kind);
  CHECK(b.capacity == a.capacity);
  CHECK(b.type == a.type);
  CHECK(b.overwrites == a.overwrites);
  CHECK(b.id != a.id);
  CHECK(b.mode == 0600);
  CHECK(b.joins == 0);
  REQUIRE_FALSE(made(there, text));  // it is there
  {
    typename channel::consumer rx(io, there, o);
    any_channel::producer other(io, there);
    CHECK_FALSE(rx.try_receive());
    const auto v = values.make(7);
    if constexpr (std::is_same_v<std::decay_t<decltype(v)>, tick>) {
      CHECK(other.try_send(std::as_bytes(std::span(&v, 1))));
    } else {
      CHECK(other.try_send(v));
    }
    CHECK(number(*rx.try_receive()) == 7);
  }
  tx.close();
  channel::unlink(here);
}

TEST_CASE("described_channel: a difference is named, and nothing is made from a damaged text", "[described_channel]") {
  const std::string here = unique_name("described-here");
  const std::string there = unique_name("described-there");
  net::io_context io;
  channel_options small;
  small.capacity = smallest_capacity;
  channel<byte_ring>::producer tx(io, here, small);
  detail::failure f;
  const std::string text = detail::describe_channel(here, f);
  REQUIRE_FALSE(f);
  std::string why;
  {
    channel_options large;
    large.capacity = 2 * smallest_capacity;
    channel<byte_ring>::producer other(io, there, large);
    CHECK(made(there, text, &why) == errc::incompatible);
    CHECK_THAT(why, contains("capacity is " + std::to_string(2 * smallest_capacity) + ", expected " + std::to_string(smallest_capacity)));
  }
  {
    channel<spsc_ring<tick, 4>>::producer other(io, there);
    CHECK(made(there, text, &why) == errc::incompatible);
    CHECK_THAT(why, contains("ring kind is spsc_ring, expected byte_ring"));
  }
  CHECK(made(there, "", &why) == errc::incompatible);
  CHECK(made(there, "{}", &why) == errc::incompatible);
  CHECK(made(there, R"({"identity":"00","description":""})") == errc::incompatible);
  const std::size_t identity = text.find("\"identity\":\"") + 12;
  // Whatever digit is changed: refused, or a sound segment.
  for (std::size_t i = 0; i != 512; ++i) {
    std::string damaged = text;
    damaged[identity + i] = damaged[identity + i] == '0' ? '1' : '0';
    if (const auto ec = made(there, damaged)) {
      CHECK(files_of(there) == 0);
    } else {
      CHECK(inspect(there).problem.empty());
      channel<byte_ring>::unlink(there);
    }
  }
  CHECK(made("a/b", text) == std::errc::invalid_argument);
  CHECK_FALSE(detail::describe_channel(unique_name("not-there"), f).size());
  CHECK(f.code == std::errc::no_such_file_or_directory);
}

}  // namespace belfry::test::described_channel_tests
