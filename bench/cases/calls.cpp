// A request and its reply: a round trip between two processes that sleep, and calls per second from 4 clients to 4
// servers, with one call at a time or several.
#include "../harness/asio.hpp"
#include "../harness/belfry_fan.hpp"
#include "../harness/belfry_round_trip.hpp"
#include "../harness/crowd.hpp"
#include "../harness/measure.hpp"
#include "../harness/memory.hpp"
#include "../harness/messages.hpp"
#include "../harness/timer.hpp"
#include "../peers/asio_socket.hpp"
#include "../peers/calling.hpp"
#include "cases.hpp"

#include <belfry/belfry.hpp>

#include <chrono>
#include <cstddef>
#include <cstdint>
#include <string>
#include <utility>
#include <vector>

namespace belfry::bench {
namespace {

constexpr auto turn = std::chrono::milliseconds(300);
constexpr int rounds = 5;
constexpr std::size_t each = 4;  // clients, and servers

template <std::size_t Bytes>
using calls_of = channel<call_ring<message<Bytes>, message<Bytes>, 256>>;

/// A place to meet, for clients and servers.
template <class Channel>
class calling_point {
 public:
  explicit calling_point(std::string_view what) : name_(unique_name(what)) {}
  ~calling_point() {
    error_code ignored;
    Channel::unlink(name_, ignored);
  }
  calling_point(const calling_point&) = delete;
  calling_point& operator=(const calling_point&) = delete;

  typename Channel::client client(net::io_context& io) const { return {io, name_}; }
  typename Channel::server server(net::io_context& io) const { return {io, name_}; }

 private:
  std::string name_;
};

// ---- a round trip -----------------------------------------------------------------------------------------

class called_round_trip final : public contender {
  using calls = calls_of<16>;

 public:
  figure lead(std::uint64_t n) override {
    net::io_context io(1);
    auto client = place_.client(io);
    lap_timer timer(n, 1);
    run(io, ask(client, n, timer));
    return timer.median(microseconds.units);
  }
  void follow(std::uint64_t n) override {
    net::io_context io(1);
    auto server = place_.server(io);
    run(io, serve(server, n));
  }

 private:
  static net::awaitable<void> ask(calls::client& client, std::uint64_t n, lap_timer& timer) {
    letter m{};
    for (std::uint64_t i = 0; i != n; ++i) {
      m.number(i);
      check(co_await client.async_call(m, net::use_awaitable), i);
      timer.done();
    }
  }
  static net::awaitable<void> serve(calls::server& server, std::uint64_t n) {
    for (std::uint64_t i = 0; i != n; ++i) {
      auto call = co_await server.async_accept(net::use_awaitable);
      call.reply(call.request());
    }
  }

  calling_point<calls> place_{"call"};
};

void round_trip(report& out) {
  const std::vector<entrant> all{
      enter<awaited_round_trip>("a pair of spsc_rings", meeting_point<letters>::by::name, microseconds),
      enter<asio_socket_round_trip>("asio unix socket", microseconds.units),
      enter<transport_round_trip<nng_calls>>("nng req, rep", microseconds.units),
      enter<transport_round_trip<zeromq_calls>>("ZeroMQ REQ, REP", microseconds.units),
      enter<called_round_trip>("belfry"),
  };
  const auto figures = measure(all);
  out.add({"calls-rtt", "us", {{"bytes", 16}}, figures.back(), named(all, figures, all.size() - 1)});
}

// ---- calls per second -----------------------------------------------------------------------------------------

using request = message<64>;

double rate_of(const std::function<part(std::size_t)>& client, const std::function<part(std::size_t)>& server) {
  std::vector<part> parts;
  for (std::size_t i = 0; i != each; ++i) parts.push_back(client(i));
  for (std::size_t i = 0; i != each; ++i) parts.push_back(server(i));
  return rate(parts, turn);
}

double by_belfry(std::size_t at_a_time) {
  using calls = calls_of<64>;
  const calling_point<calls> place("calls");
  const auto ask = [](member& me, calls::client& client, std::uint64_t n) -> net::awaitable<void> {
    for (request m{}; !me.over(); ++n) {
      m.number(n);
      check(co_await client.async_call(m, net::use_awaitable), n);
      me.done();
    }
  };
  const auto serve = [](member& me, calls::server& server) -> net::awaitable<void> {
    while (!me.over()) {
      auto call = co_await server.async_accept(net::use_awaitable);
      call.reply(call.request());
    }
  };
  return rate_of(
      [&](std::size_t) {
        return [&](member& me) {
          awaiting a(me);
          auto client = place.client(a.io);
          for (std::size_t i = 0; i != at_a_time; ++i) a.spawn(ask(me, client, i << 32));
          a.run();
        };
      },
      [&](std::size_t) {
        return [&](member& me) {
          awaiting a(me);
          auto server = place.server(a.io);
          a.spawn(serve(me, server));
          a.run();
        };
      });
}

/// Each client has a connection to one server for each call at a time.
double by_sockets(std::size_t at_a_time) {
  const std::vector<socket_pair> pairs(each * at_a_time);
  const auto ask = [](member& me, net::local::stream_protocol::socket& s) -> net::awaitable<void> {
    request m{};
    for (std::uint64_t n = 0; !me.over(); ++n) {
      m.number(n);
      co_await net::async_write(s, net::buffer(m.words), net::use_awaitable);
      co_await net::async_read(s, net::buffer(m.words), net::use_awaitable);
      check(m, n);
      me.done();
    }
  };
  const auto serve = [](member& me, net::local::stream_protocol::socket& s) -> net::awaitable<void> {
    for (request m{}; !me.over();) {
      co_await net::async_read(s, net::buffer(m.words), net::use_awaitable);
      co_await net::async_write(s, net::buffer(m.words), net::use_awaitable);
    }
  };
  const auto all = [&](std::size_t i, std::size_t side, auto body) {
    return [&, i, side, body](member& me) {
      awaiting a(me);
      std::vector<net::local::stream_protocol::socket> sockets;
      for (std::size_t j = 0; j != at_a_time; ++j) sockets.push_back(pairs[i * at_a_time + j].socket(a.io, side));
      for (auto& s : sockets) a.spawn(body(me, s));
      a.run();
    };
  };
  return rate_of([&](std::size_t i) { return all(i, 0, ask); }, [&](std::size_t i) { return all(i, 1, serve); });
}

/// Each client asks all servers in turn, with one call at a time.
template <class Library>
double one_at_a_time() {
  const Library library(each);
  return rate_of(
      [&](std::size_t) {
        return [&](member& me) {
          typename Library::client client(library);
          me.ready();
          request m{};
          for (std::uint64_t n = 0; !me.over(); ++n) {
            m.number(n);
            if (!client.call(&m, sizeof m)) break;  // at the end the servers have left
            check(m, n);
            me.done();
          }
        };
      },
      [&](std::size_t i) {
        return [&, i](member& me) {
          typename Library::server server(library, i);
          me.ready();
          for (request m{}; !me.over();) server.answer(&m, sizeof m);
        };
      });
}

void many(report& out, std::size_t at_a_time) {
  std::vector<crowd> all{{"belfry", [=] { return by_belfry(at_a_time); }},
                         {"asio unix socket", [=] { return by_sockets(at_a_time); }}};
  if (at_a_time == 1) {
    all.push_back({"nng req, rep", one_at_a_time<nng_callers>});
    all.push_back({"ZeroMQ REQ, REP", one_at_a_time<zeromq_callers>});
  }
  const auto figures = median_rates(all, rounds);
  result r{"calls",
           "op/s",
           {{"bytes", static_cast<int>(sizeof(request))},
            {"clients", static_cast<int>(each)},
            {"servers", static_cast<int>(each)},
            {"at a time", static_cast<int>(at_a_time)}},
           figures[0],
           {}};
  for (std::size_t i = 1; i != all.size(); ++i) r.peers.emplace_back(all[i].name, figures[i]);
  out.add(r);
}

}  // namespace

void calls(report& out) {
  round_trip(out);
  for (const std::size_t at_a_time : {1, 16}) many(out, at_a_time);
}

}  // namespace belfry::bench
