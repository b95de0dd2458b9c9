// All transports; of those whose library was not found, what says so when its turn comes.
#pragma once

#include "../transport.hpp"
#include "interprocess_queue.hpp"
#include "posix_queue.hpp"

#include <cstddef>
#include <vector>

#if defined(BELFRY_BENCH_ZEROMQ)
#include "zeromq.hpp"
#else
namespace belfry::bench {
using zeromq = missing_transport;
}
#endif

#if defined(BELFRY_BENCH_NNG)
#include "nng.hpp"
#else
namespace belfry::bench {
using nng_pair = missing_transport;
}
#endif

#if defined(BELFRY_BENCH_ICEORYX)
#include "iceoryx.hpp"
#else
namespace belfry::bench {
using iceoryx = missing_transport;
template <std::size_t Bytes>
using iceoryx_loans = transport_stream<Bytes, missing_transport>;
}  // namespace belfry::bench
#endif

namespace belfry::bench {

/// Every transport in this kind of contender, a template of a transport.
template <template <transport> class Contender, class... Arguments>
void enter_transports(std::vector<entrant>& all, Arguments... arguments) {
  all.push_back(enter<Contender<zeromq>>("ZeroMQ", arguments...));
  all.push_back(enter<Contender<nng_pair>>("nng", arguments...));
  all.push_back(
      enter<Contender<interprocess_queue>>("Boost.Interprocess message_queue", arguments...));
  all.push_back(enter<Contender<posix_queue>>("mq + epoll", arguments...));
  all.push_back(enter<Contender<iceoryx>>("iceoryx", arguments...));
}

}  // namespace belfry::bench
