// Every ring behind one interface, for tests of two processes.
#pragma once

#include <belfry/belfry.hpp>

#include <cstdint>
#include <cstring>
#include <span>
#include <string>
#include <tuple>
#include <type_traits>

namespace belfry::test {

struct tick {
  std::uint64_t seq;
  double price;
};

template <class Ring>
struct of_ring {
  using channel = belfry::channel<Ring>;
  static channel_options options() {
    channel_options o;
    o.start = start::oldest;
    return o;
  }
  static tick make(std::uint64_t n) { return {n, 0.5 * static_cast<double>(n)}; }
};

template <class Ring>
struct of_messages {
  using channel = belfry::channel<Ring>;
  static channel_options options() {
    channel_options o;
    o.start = start::oldest;
    if (std::is_same_v<Ring, byte_ring>) {
      o.capacity = 64 << 10;
    } else {
      o.slots = 16;
      o.message_bytes = 1024;
    }
    return o;
  }
  std::span<const std::byte> make(std::uint64_t n) {
    number = n;
    return std::as_bytes(std::span(&number, 1));
  }
  std::uint64_t number = 0;
};

struct spsc : of_ring<spsc_ring<tick, 64>> { static constexpr const char* name = "spsc"; };
struct work : of_ring<work_ring<tick, 16>> { static constexpr const char* name = "work"; };
struct blocking : of_ring<broadcast_ring<tick, 16, overflow::block>> { static constexpr const char* name = "blocking"; };
struct overwriting : of_ring<broadcast_ring<tick, 16, overflow::overwrite>> {
  static constexpr const char* name = "overwriting";
};
struct newest : of_ring<latest<tick>> { static constexpr const char* name = "newest"; };
struct bytes : of_messages<byte_ring> { static constexpr const char* name = "bytes"; };
struct byte_work : of_messages<byte_work_ring> { static constexpr const char* name = "byte_work"; };
struct byte_blocking : of_messages<byte_broadcast_ring<overflow::block>> {
  static constexpr const char* name = "byte_blocking";
};
struct byte_overwriting : of_messages<byte_broadcast_ring<overflow::overwrite>> {
  static constexpr const char* name = "byte_overwriting";
};
using every_ring =
    std::tuple<spsc, work, blocking, overwriting, newest, bytes, byte_work, byte_blocking, byte_overwriting>;

inline std::uint64_t number(const tick& t) { return t.price == 0.5 * static_cast<double>(t.seq) ? t.seq : ~std::uint64_t{0}; }
inline std::uint64_t number(const message& m) {
  std::uint64_t n = ~std::uint64_t{0};
  if (m.size() == sizeof n) std::memcpy(&n, m.bytes().data(), sizeof n);
  return n;
}

inline net::const_buffer buffer_of(std::span<const std::byte> b) { return net::buffer(b.data(), b.size()); }
inline const tick& buffer_of(const tick& t) { return t; }

}  // namespace belfry::test
