// All transports; of those whose library was not found, what says so when its turn comes.
#pragma once

#include "../harness/transport.hpp"
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

/// Every transport by its name: `make.operator()<Transport>(name)` is its entrant.
template <class Make>
void enter_transports(std::vector<entrant>& all, Make make) {
  all.push_back(make.template operator()<zeromq>("ZeroMQ"));
  all.push_back(make.template operator()<nng_pair>("nng"));
  all.push_back(make.template operator()<interprocess_queue>("Boost.Interprocess message_queue"));
  all.push_back(make.template operator()<posix_queue>("mq + epoll"));
  all.push_back(make.template operator()<iceoryx>("iceoryx"));
}

}  // namespace belfry::bench
