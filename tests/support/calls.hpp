// A channel for calls: a client and a server in one context, which meet in the way that the program is told.
#pragma once

#include "meeting.hpp"
#include "rings.hpp"

#include <cstdint>
#include <string>
#include <string_view>
#include <vector>

namespace belfry::test {

struct question {
  std::uint64_t n = 0;
  std::uint64_t more = 0;
};
struct answer {
  std::uint64_t n = 0;
  std::uint64_t by = 0;
};
/// Few places, so that they are soon all in use.
using questions = channel<call_ring<question, answer, 4>>;
using question_call = call<question, answer>;

struct called {
  explicit called(std::string_view what, const channel_options& of_client = {}, const channel_options& of_server = {})
      : name(unique_name(what)), c(client(of_client)), s(server(of_server)) {}
  ~called() {
    c.close();
    s.close();  // (what handlers write to may be gone: they are not called any more)
    meet::forget(name);
  }

  using meet = meet_for_calls<questions>;
  questions::client client(const channel_options& o = {}) { return meet::client(io, name, o); }
  questions::server server(const channel_options& o = {}) { return meet::server(io, name, o); }

  net::io_context io;
  std::string name;
  questions::client c;
  questions::server s;
};

/// How a call has ended.
struct outcome_of_call {
  int calls = 0;
  error_code ec = errc::protocol_error;
  answer reply;

  auto handler() {
    return [this](const error_code& e, answer a) {
      ++calls;
      ec = e;
      reply = a;
    };
  }
};

/// Accepted calls.
struct accepted {
  int calls = 0;
  error_code ec = errc::protocol_error;
  question_call call;

  auto handler() {
    return [this](const error_code& e, question_call c) {
      ++calls;
      ec = e;
      call = std::move(c);
    };
  }
};

inline std::chrono::steady_clock::time_point in(std::chrono::nanoseconds t) { return std::chrono::steady_clock::now() + t; }

}  // namespace belfry::test
