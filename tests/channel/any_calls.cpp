// Clients and servers that have no C++ type of what they call.
#include "support/calls.hpp"

#include <belfry/any_channel.hpp>
#include <belfry/detail/segment/described_channel.hpp>
#include <belfry/inspect.hpp>

#include <cstring>
#include <optional>
#include <span>

namespace belfry::test::any_calls_tests {

namespace {

template <class T>
std::span<const std::byte> bytes_of(const T& value) {
  return std::as_bytes(std::span(&value, 1));
}
template <class T>
T value_of(std::span<const std::byte> bytes) {
  T value{};
  REQUIRE(bytes.size() == sizeof value);
  std::memcpy(&value, bytes.data(), sizeof value);
  return value;
}

/// How a call with bytes has ended.
struct outcome_in_bytes {
  int calls = 0;
  error_code ec = errc::protocol_error;
  message reply;

  auto handler() {
    return [this](const error_code& e, message m) {
      ++calls;
      ec = e;
      reply = std::move(m);
    };
  }
};

using pages = channel<byte_call_ring>;

channel_options small_pages() {
  channel_options o;
  o.slots = 4;
  o.message_bytes = 64;
  return o;
}

}  // namespace

TEST_CASE("any_channel::client calls a typed server", "[any_calls]") {
  net::io_context io;
  const std::string name = unique_name("any-client");
  questions::server s(io, name);
  any_channel::client c(io, name);
  CHECK(c.info().kind == "call_ring");
  CHECK(c.info().value_bytes == sizeof(question) + sizeof(answer));
  CHECK(c.max_message() == sizeof(question));
  const question q{7, 8};
  outcome_in_bytes o;
  c.async_call(bytes_of(q), o.handler());
  settle(io);
  question_call asked = s.try_accept();
  REQUIRE(asked);
  CHECK(asked.request().n == 7);
  CHECK(asked.request().more == 8);
  CHECK(asked.reply({70, 80}));
  REQUIRE(comes_true(io, [&] { return o.calls == 1; }));
  CHECK_FALSE(o.ec);
  CHECK(value_of<answer>(o.reply.bytes()).n == 70);
  CHECK(value_of<answer>(o.reply.bytes()).by == 80);
  CHECK(c.size() == 1);
  o.reply.release();
  CHECK(c.size() == 0);

  outcome_in_bytes wrong;
  c.async_call(bytes_of(q).first(4), wrong.handler());
  settle(io);
  CHECK(wrong.ec == std::errc::invalid_argument);
  CHECK(c.size() == 0);
}

TEST_CASE("any_channel::server answers a typed client", "[any_calls]") {
  net::io_context io;
  const std::string name = unique_name("any-server");
  questions::client c(io, name);
  any_channel::server s(io, name);
  outcome_of_call o;
  c.async_call({7, 8}, o.handler());
  settle(io);
  byte_call asked = s.try_accept();
  REQUIRE(asked);
  CHECK(value_of<question>(asked.request()).more == 8);
  CHECK(asked.max_reply() == sizeof(answer));
  const answer a{70, 80};
  CHECK_FALSE(asked.reply(bytes_of(a).first(8)));
  CHECK(asked.reply(bytes_of(a)));
  REQUIRE(comes_true(io, [&] { return o.calls == 1; }));
  CHECK_FALSE(o.ec);
  CHECK(o.reply.n == 70);
  CHECK(o.reply.by == 80);

  outcome_of_call refused;
  c.async_call({1, 1}, refused.handler());
  settle(io);
  asked = s.try_accept();
  REQUIRE(asked);
  CHECK(asked.fail(std::make_error_code(std::errc::no_space_on_device)));
  REQUIRE(comes_true(io, [&] { return refused.calls == 1; }));
  CHECK(refused.ec == errc::refused);
  CHECK(c.refusal() == std::errc::no_space_on_device);
}

TEST_CASE("any_channel has the clients and servers of a byte_call_ring", "[any_calls]") {
  net::io_context io;
  const std::string name = unique_name("any-bytes");
  pages::client typed(io, name, small_pages());
  any_channel::client c(io, name);
  any_channel::server s(io, name);
  CHECK(c.info().value_bytes == 0);
  CHECK(c.max_message() == 64);
  const std::string text = "which page?";
  outcome_in_bytes o;
  c.async_call(net::buffer(text), o.handler());
  settle(io);
  byte_call asked = s.try_accept();
  REQUIRE(asked);
  CHECK(asked.request().size() == text.size());
  CHECK(std::memcmp(asked.request().data(), text.data(), text.size()) == 0);
  CHECK(asked.max_reply() == 64);
  CHECK(asked.reply(net::buffer(text, 5)));
  REQUIRE(comes_true(io, [&] { return o.calls == 1; }));
  CHECK(o.reply.size() == 5);

  const std::string large(65, 'x');
  outcome_in_bytes too_large;
  c.async_call(net::buffer(large), too_large.handler());
  settle(io);
  CHECK(too_large.ec == errc::message_too_large);
}

TEST_CASE("any_channel: values and calls are not taken for each other", "[any_calls]") {
  net::io_context io;
  const std::string values = unique_name("any-values");
  const std::string calls = unique_name("any-calls");
  channel<spsc_ring<question, 4>>::producer tx(io, values);
  questions::client c(io, calls);
  error_code ec;
  any_channel::client no_calls(io, values, ec);
  CHECK(ec == errc::incompatible);
  CHECK_FALSE(no_calls.is_open());
  any_channel::consumer no_values(io, calls, ec);
  CHECK(ec == errc::incompatible);
  any_channel::server nothing(io, unique_name("any-nothing"), ec);
  CHECK(ec == std::errc::no_such_file_or_directory);
  CHECK(nothing.info().kind.empty());
}

TEST_CASE("a channel of calls is made from its description", "[any_calls]") {
  const bool bytes = GENERATE(false, true);
  net::io_context io;
  const std::string here = unique_name("calls-here");
  const std::string there = unique_name("calls-there");
  std::optional<questions::client> typed;
  std::optional<pages::client> of_bytes;
  bytes ? static_cast<void>(of_bytes.emplace(io, here, small_pages())) : static_cast<void>(typed.emplace(io, here));
  detail::failure f;
  const std::string text = detail::describe_channel(here, f);
  REQUIRE_FALSE(f);
  detail::make_channel(there, text, 0600, f);
  REQUIRE_FALSE(f);
  CHECK(inspect(there).problem.empty());
  CHECK(inspect(there).type == inspect(here).type);
  CHECK(inspect(there).message_bytes == inspect(here).message_bytes);
  any_channel::client c(io, there);
  if (bytes) {
    pages::server s(io, there, small_pages());
    CHECK(c.max_message() == 64);
  } else {
    questions::server s(io, there);
    const question q{1, 2};
    outcome_in_bytes o;
    c.async_call(bytes_of(q), o.handler());
    settle(io);
    question_call asked = s.try_accept();
    REQUIRE(asked);
    CHECK(asked.reply({3, 4}));
    settle(io);
    CHECK(value_of<answer>(o.reply.bytes()).by == 4);
  }

  const std::string other = unique_name("calls-other");
  channel<call_ring<question, std::uint64_t, 4>>::client wrong(io, other);
  detail::make_channel(other, text, 0600, f);
  CHECK(f.code == errc::incompatible);
}

}  // namespace belfry::test::any_calls_tests
