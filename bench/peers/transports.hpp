// All transports; one whose library was not found reports that in its turn.
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

/// Calls `make.operator()<Transport>(name)`, which returns its entrant, for every transport.
template <class Make>
void enter_transports(std::vector<entrant>& all, Make make) {
  all.push_back(make.template operator()<zeromq>("ZeroMQ"));
  all.push_back(make.template operator()<nng_pair>("nng"));
  all.push_back(make.template operator()<interprocess_queue>("Boost.Interprocess message_queue"));
  all.push_back(make.template operator()<posix_queue>("mq + epoll"));
  all.push_back(make.template operator()<iceoryx>("iceoryx"));
}

}  // namespace belfry::bench
