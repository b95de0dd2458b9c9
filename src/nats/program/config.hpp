// What `belfry bridge` is to do, from its options and a file.
#pragma once

#include <belfry/nats_bridge.hpp>

#include <string>
#include <string_view>
#include <vector>

namespace belfry::bridge_program {

struct configuration {
  struct exported {
    std::string channel;
    std::string subject;
    nats_export_options options;
  };
  struct imported {
    std::string subject;
    std::string channel;
    nats_import_options options;
  };
  nats_options server;
  bool has_servers = false;
  std::vector<exported> exports;
  std::vector<imported> imports;
};

/// Reads a configuration file, JSON:
///
///     {"servers": ["nats://hub:4222"], "user": "plant", "password_file": "/etc/belfry/password",
///      "tls": {"ca": "ca.pem", "certificate": "cert.pem", "key": "key.pem", "host": "hub"},
///      "exports": [{"channel": "ticks", "subject": "plant.ticks", "replicas": 3, "max_bytes": 1000000000}],
///      "imports": [{"subject": "plant.news", "channel": "news", "oldest": true, "mode": "0660"}]}
///
/// Every key is optional. Throws std::invalid_argument: `exports[0].replicas: 0 is not between 1 and 5`.
void read_file(const std::string& path, configuration& into);
void read_text(std::string_view json, configuration& into);

/// The first line of a file, for secrets. Throws std::system_error.
std::string first_line(const std::string& path);
/// `0660`. Throws std::invalid_argument.
unsigned parse_mode(const std::string& octal);

}  // namespace belfry::bridge_program
