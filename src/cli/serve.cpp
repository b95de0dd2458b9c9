// belfry serve: a manager's server, in the foreground.
#include "../platform/tool.hpp"
#include "commands.hpp"

#include <belfry/manager_server.hpp>

#include <CLI/CLI.hpp>
#include <array>
#include <cstdlib>
#include <iostream>
#include <memory>
#include <string>

#if defined(BELFRY_BOOST_ASIO)
#include <boost/asio/posix/stream_descriptor.hpp>
#include <boost/asio/signal_set.hpp>
#else
#include <asio/posix/stream_descriptor.hpp>
#include <asio/signal_set.hpp>
#endif

namespace belfry::cli {
namespace {

struct serve_options {
  std::string address;
  std::string key_file;
  int key_handle = -1;
  int lifeline = -1;
  std::int64_t timeout_ms = 10'000;
  manager_options server;
};

std::string read_key(const serve_options& o) {
  detail::failure f;
  std::string key;
  if (o.key_handle >= 0) {
    key = platform::read_to_end(o.key_handle, f);
  } else if (!o.key_file.empty()) {
    key = platform::read_secret_file(o.key_file, f);
    if (key.ends_with('\n')) key.pop_back();  // an editor adds it
  } else if (const char* const text = std::getenv("BELFRY_AUTHKEY"); text != nullptr) {
    key = text;
    ::unsetenv("BELFRY_AUTHKEY");
  } else {
    throw std::runtime_error(
        "a key is needed: --authkey-file, --authkey-fd, or BELFRY_AUTHKEY in the environment");
  }
  if (f) f.raise();
  return key;
}

/// Ends the server when the other end of the socket is closed: by the process that started it, or by its
/// death.
void end_with(net::posix::stream_descriptor& lifeline, manager_server& server) {
  lifeline.async_wait(net::posix::stream_descriptor::wait_read, [&](const error_code& ec) {
    std::array<char, 64> said;
    error_code ended = ec;
    if (!ended) lifeline.read_some(net::buffer(said), ended);
    if (!ended) return end_with(lifeline, server);
    if (ended != net::error::operation_aborted) server.close();
  });
}

void serve(serve_options o) {
  using namespace std::chrono;
  constexpr auto longest = floor<milliseconds>(nanoseconds::max());
  const milliseconds timeout(o.timeout_ms);
  o.server.timeout = timeout > longest ? nanoseconds::max() : nanoseconds(timeout);
  const std::string key = read_key(o);
  net::io_context io(1);
  // Before there is a server: a signal that ended this process then would leave what the server has made.
  net::signal_set signals(io, SIGTERM);
  const bool is_started = o.lifeline >= 0;
  if (is_started) platform::ignore_interrupt();
  else signals.add(SIGINT);

  manager_server server(io, o.address, key, o.server);
  net::posix::stream_descriptor lifeline(io);
  if (is_started) {
    lifeline.assign(o.lifeline);
    end_with(lifeline, server);
  }
  signals.async_wait([&](const error_code& ec, int) {
    if (!ec) server.close();
  });
  server.async_wait([&](const error_code&) {
    signals.cancel();
    if (lifeline.is_open()) lifeline.close();
  });
  std::cout << server.address() << std::endl;
  if (!std::cout) server.close();  // the reader of the address has gone
  io.run();
}

}  // namespace

void add_serve(CLI::App& app) {
  const auto options = std::make_shared<serve_options>();
  CLI::App* const command = app.add_subcommand("serve",
                                               "Own blocks and channels for other processes, until "
                                               "SIGTERM or a client's shutdown; then remove them. "
                                               "Prints the address.");
  command->add_option(
      "--address", options->address,
      "A path, @name for an abstract Unix socket, or host:port; default: a new path");
  auto* const file = command->add_option("--authkey-file", options->key_file,
                                         "The file with the key, which only its owner may read");
  command
      ->add_option("--authkey-fd", options->key_handle,
                   "The descriptor to read the key from, until end of file")
      ->excludes(file)
      ->check(CLI::NonNegativeNumber);
  command
      ->add_option("--lifeline", options->lifeline,
                   "End when the other end of this socket or pipe is closed, and ignore SIGINT")
      ->check(CLI::NonNegativeNumber);
  command->add_option("--run-directory", options->server.run_directory,
                      "Where to keep the record that lets `belfry gc` clean up after a crash");
  command->add_flag("--remote", options->server.remote,
                    "Allow an address that other machines can reach");
  command->add_flag_callback(
      "--md5", [options] { options->server.md5 = true; },
      "Allow HMAC-MD5, which CPython up to 3.11 needs; default: over Unix sockets only");
  command->add_flag_callback("--no-md5", [options] { options->server.md5 = false; });
  command->add_option("--connections", options->server.connections, "The most connections at a time")
      ->check(CLI::PositiveNumber)
      ->capture_default_str();
  command->add_option("--request-bytes", options->server.request_bytes, "The most bytes of a request")
      ->check(CLI::PositiveNumber)
      ->capture_default_str();
  command->add_option("--timeout", options->timeout_ms, "Milliseconds for authentication, and for a request")
      ->check(CLI::PositiveNumber)
      ->capture_default_str();
  command->footer(
      "Without one of these options the key is taken from BELFRY_AUTHKEY in the environment.");
  command->callback([options] { serve(*options); });
}

}  // namespace belfry::cli
