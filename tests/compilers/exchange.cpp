// One of two programs that share channels although they were not built alike; see exchange.sh.
//
//     exchange send NAME       sends through a channel of each ring, NAME-spsc, NAME-work, …, one after the other
//     exchange receive NAME    receives all of it, and compares
//     exchange hold NAME       has the channels until its standard input ends
//     exchange refuse NAME     prints why it cannot join them
//
// With -DSWAPPED two fields of the values have changed places.
#include <belfry/belfry.hpp>

#include <array>
#include <chrono>
#include <cstdint>
#include <cstring>
#include <exception>
#include <iostream>
#include <string>
#include <span>
#include <string_view>
#include <system_error>
#include <type_traits>

namespace exchange {

enum class side : std::uint8_t { buy, sell };

struct order {
#ifdef SWAPPED
  double price;
  std::uint64_t id;
#else
  std::uint64_t id;
  double price;
#endif
  side way;
  std::array<std::int32_t, 3> legs;
};
BOOST_DESCRIBE_STRUCT(order, (), (id, price, way, legs))

constexpr std::uint64_t count = 1000;  // more than any of the channels holds
constexpr auto limit = std::chrono::seconds(60);

order made(std::uint64_t n) {
  const auto small = static_cast<std::int32_t>(n);
  order o{};
  o.id = n;
  o.price = 0.25 * static_cast<double>(n);
  o.way = n % 2 == 0 ? side::buy : side::sell;
  o.legs = {small, -small, small / 2};
  return o;
}
bool same(const order& a, const order& b) {
  return a.id == b.id && a.price == b.price && a.way == b.way && a.legs == b.legs;
}

using messages = belfry::byte_ring;

template <class Ring>
int send(const std::string& name) {
  belfry::net::io_context io;
  typename belfry::channel<Ring>::producer tx(io, name);
  tx.async_wait_peer([](const belfry::error_code&) {});
  io.run();
  for (std::uint64_t n = 0; n != count; ++n) {
    const order o = made(n);
    belfry::error_code ec;
    if constexpr (std::is_same_v<Ring, messages>)
      ec = tx.send(std::as_bytes(std::span(&o, 1)), limit);
    else
      ec = tx.send(o, limit);
    if (!ec) continue;
    std::cerr << name << ": value " << n << ": " << ec.message() << '\n';
    return 1;
  }
  return 0;
}

template <class Ring>
int receive(const std::string& name) {
  belfry::net::io_context io;
  belfry::channel_options options;
  options.start = belfry::start::oldest;
  typename belfry::channel<Ring>::consumer rx(io, name, options);
  for (std::uint64_t n = 0; n != count; ++n) {
    typename Ring::received value;
    order got{};
    const belfry::error_code ec = rx.receive(value, limit);
    if constexpr (std::is_same_v<Ring, messages>) {
      if (value.size() == sizeof got) std::memcpy(&got, value.bytes().data(), sizeof got);
    } else {
      got = value;
    }
    if (!ec && same(got, made(n))) continue;
    std::cerr << name << ": value " << n << ": " << (ec ? ec.message() : "another value") << '\n';
    return 1;
  }
  return 0;
}

/// 0 if the channel there has another type.
template <class Ring>
int refuse(const std::string& name) {
  belfry::net::io_context io;
  try {
    typename belfry::channel<Ring>::consumer rx(io, name);
    std::cerr << name << ": joined a channel of another type\n";
    return 1;
  } catch (const std::system_error& e) {
    std::cout << e.what() << '\n';
    return e.code() == belfry::errc::incompatible ? 0 : 1;
  }
}

using queue = belfry::spsc_ring<order, 64>;
using work = belfry::work_ring<order, 64>;
using news = belfry::broadcast_ring<order, 64, belfry::overflow::block>;

int run(std::string_view what, const std::string& name) {
  if (what == "send")
    return send<queue>(name + "-spsc") | send<work>(name + "-work") | send<news>(name + "-news") |
           send<messages>(name + "-bytes");
  if (what == "receive")
    return receive<queue>(name + "-spsc") | receive<work>(name + "-work") | receive<news>(name + "-news") |
           receive<messages>(name + "-bytes");
  if (what == "refuse")
    return refuse<queue>(name + "-spsc") | refuse<work>(name + "-work") | refuse<news>(name + "-news");
  if (what != "hold") return 2;
  belfry::net::io_context io;
  const belfry::channel<queue>::producer first(io, name + "-spsc");
  const belfry::channel<work>::producer second(io, name + "-work");
  const belfry::channel<news>::producer third(io, name + "-news");
  std::cout << "ready" << std::endl;
  std::cin.get();
  return 0;
}

}  // namespace exchange

int main(int argc, char** argv) try {
  return argc == 3 ? exchange::run(argv[1], argv[2]) : 2;
} catch (const std::exception& e) {
  std::cerr << e.what() << '\n';
  return 1;
}
