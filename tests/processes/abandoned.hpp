// What killed processes leave in shared memory.
#pragma once

#include "support/member.hpp"
#include "support/test.hpp"

#include <string>

#include <unistd.h>

namespace belfry::test {

using abandoned_values = channel<spsc_ring<tick, 64>>;

inline bool in_memory(const std::string& name) { return ::access(("/dev/shm/" + name).c_str(), F_OK) == 0; }

/// Leaves a channel whose participants were killed, with `unread` values of three in it.
inline void abandon(const std::string& name, int unread, lifetime life = lifetime::drained) {
  event ready;
  child c([&] {
    net::io_context io;
    channel_options options;
    options.lifetime = life;
    abandoned_values::producer tx(io, name, options);
    abandoned_values::consumer rx(io, name, options);
    for (int i = 0; i != 3; ++i) EXPECT(tx.try_send({1, 0.5}));
    for (int i = unread; i != 3; ++i) EXPECT(rx.try_receive());
    ready.set();
    for (;;) ::pause();
  });
  ready.wait();
  c.kill();
}

}  // namespace belfry::test
