// A nats-server with JetStream, which the bridge and its peer require.
#pragma once

#include "../harness/child.hpp"

#include <string>

#include <sys/types.h>

namespace belfry::bench {

/// From when it is first needed until this program ends, on loopback, with files in a directory of its own in /var/tmp.
class nats_server {
 public:
  /// Its address. Returns when it answers; throws if it cannot be started.
  static const std::string& need();
  ~nats_server();
  nats_server(const nats_server&) = delete;
  nats_server& operator=(const nats_server&) = delete;

 private:
  nats_server();

  const pid_t owner_;
  const std::string directory_;
  const int port_;
  const std::string url_;
  child process_;
};

}  // namespace belfry::bench
