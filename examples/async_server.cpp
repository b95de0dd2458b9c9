// A web server that lets a pool of processes do its work: GET /N answers with the number of primes up to N.
//
//   async_server [--port P] [--workers N]        and, in another shell: curl localhost:8080/100000
//
// Each request is a call: the server is its client, the workers are its servers. It has a deadline (10 s, or as many
// milliseconds as GET /N?ms=M says). What can happen, and what the server answers:
//
//   the worker is killed (kill -9)           another worker gets the call; the server starts a new worker
//   three workers were killed by it          500: the request itself may be what kills them
//   the deadline has passed                  504; the worker stops
//   curl has gone                            the call is cancelled; the worker stops
//   every place of the channel has a call    503
//
// SIGTERM and Ctrl-C drain: no new connection is accepted, what was begun is answered.
#include "net.hpp"

#include <array>
#include <cerrno>
#include <chrono>
#include <cstdlib>
#include <cstring>
#include <functional>
#include <iostream>
#include <string>
#include <string_view>
#include <system_error>
#include <utility>
#include <variant>
#include <vector>

#if defined(BELFRY_BOOST_ASIO)
#include <boost/asio/ip/tcp.hpp>
#include <boost/asio/read_until.hpp>
#include <boost/asio/write.hpp>
#else
#include <asio/ip/tcp.hpp>
#include <asio/read_until.hpp>
#include <asio/write.hpp>
#endif

#include <signal.h>
#include <sys/prctl.h>
#include <sys/wait.h>
#include <unistd.h>

namespace {

using net::ip::tcp;
using namespace std::chrono_literals;

// A request is the number, a reply is the text for the browser.
using calls = belfry::channel<belfry::byte_call_ring>;

belfry::channel_options options() {
  belfry::channel_options o;
  o.slots = 256;
  o.message_bytes = 256;
  o.retry = belfry::retry::another_server;  // counting twice does no harm
  o.wait_for_place = false;
  return o;
}

// ---- a worker, in a process of its own ------------------------------------------------------------------

constexpr std::uint64_t most = 10'000'000;
constexpr unsigned most_deliveries = 3;

/// Stops if nobody waits for the answer any more.
std::uint64_t count_primes(std::uint64_t limit, belfry::byte_call& c) {
  std::vector<bool> composite(limit + 1);
  std::uint64_t count = 0;
  for (std::uint64_t n = 2; n <= limit; ++n) {
    if (n % 4096 == 0 && c.cancelled()) return 0;
    if (composite[n]) continue;
    ++count;
    for (std::uint64_t m = n * n; m <= limit; m += n) composite[m] = true;
  }
  return count;
}

net::awaitable<void> work(net::io_context& io, std::string name) {
  calls::server s(io, name, options());
  for (;;) {
    belfry::byte_call c = co_await s.async_accept(net::use_awaitable);
    std::uint64_t limit = 0;
    if (c.request().size() == sizeof limit) std::memcpy(&limit, c.request().data(), sizeof limit);
    if (limit > most || c.deliveries() > most_deliveries) {
      c.fail(std::make_error_code(std::errc::operation_not_permitted));
      continue;
    }
    const std::uint64_t primes = count_primes(limit, c);
    c.reply(net::buffer(std::to_string(primes) + " primes up to " + std::to_string(limit) + ", says worker " +
                        std::to_string(::getpid()) + "\n"));
  }
}

pid_t start_worker(const std::string& name) {
  const pid_t parent = ::getpid();
  const pid_t pid = ::fork();
  if (pid == -1) throw std::system_error(errno, std::system_category(), "fork");
  if (pid != 0) return pid;
  ::prctl(PR_SET_PDEATHSIG, SIGKILL);  // it ends with the server
  if (::getppid() != parent) ::_exit(EXIT_FAILURE);
  ::signal(SIGINT, SIG_IGN);  // Ctrl-C is for the server
  ::close_range(3, ~0u, 0);  // the server's descriptors: its connections must end when the server closes them
  try {
    net::io_context io;
    net::co_spawn(io, work(io, name), rethrow);
    io.run();
  } catch (const std::exception& e) {
    std::cerr << "worker: " << e.what() << '\n';
  }
  ::_exit(EXIT_SUCCESS);
}

void end_worker(pid_t worker) {
  ::kill(worker, SIGKILL);
  while (::waitpid(worker, nullptr, 0) == -1 && errno == EINTR) {}  // by the SIGCHLD of another one
}

// ---- the server -----------------------------------------------------------------------------------------

class server {
 public:
  server(net::io_context& io, const std::string& name, std::uint16_t port)
      : io_(io), client_(io, name, options()), acceptor_(io, {net::ip::address_v4::loopback(), port}) {}

  std::uint16_t port() const { return acceptor_.local_endpoint().port(); }

  net::awaitable<void> listen() {
    for (;;) {
      belfry::error_code ec;
      tcp::socket socket = co_await acceptor_.async_accept(net::redirect_error(net::use_awaitable, ec));
      if (!acceptor_.is_open()) co_return;
      if (!ec) net::co_spawn(io_, serve(std::move(socket)), net::detached);
    }
  }

  /// Answers what was begun.
  net::awaitable<void> drain() {
    acceptor_.close();
    for (net::steady_timer timer(io_); busy_ != 0;) {
      timer.expires_after(10ms);
      co_await timer.async_wait(net::use_awaitable);
    }
  }

 private:
  net::awaitable<void> serve(tcp::socket socket) {
    std::string text;
    while (acceptor_.is_open()) {
      belfry::error_code ec;
      const std::size_t n =
          co_await net::async_read_until(socket, net::dynamic_buffer(text, 8192), "\r\n\r\n",
                                         net::redirect_error(net::use_awaitable, ec));
      if (ec) co_return;
      const std::string head = text.substr(0, n);
      text.erase(0, n);
      ++busy_;
      const std::string reply = co_await reply_to(head, socket);
      if (!reply.empty())
        co_await net::async_write(socket, net::buffer(reply), net::redirect_error(net::use_awaitable, ec));
      --busy_;
      if (ec || reply.empty()) co_return;
    }
  }

  /// Empty if the other end has gone.
  net::awaitable<std::string> reply_to(const std::string& head, tcp::socket& socket) {
    std::uint64_t limit = most + 1;
    if (head.starts_with("GET /")) limit = std::strtoull(head.c_str() + 5, nullptr, 10);
    if (limit > most) co_return response("400 Bad Request", "GET /N, with N of at most 10000000\n");
    auto time = 10'000ms;
    if (const std::size_t at = head.find("?ms="); at < head.find('\n'))
      time = std::chrono::milliseconds(std::strtoul(head.c_str() + at + 4, nullptr, 10));

    using net::experimental::awaitable_operators::operator||;
    const auto result = co_await (ask(limit, time) || gone(socket));
    co_return result.index() == 0 ? std::get<0>(result) : std::string();
  }

  net::awaitable<std::string> ask(std::uint64_t limit, std::chrono::milliseconds time) {
    belfry::error_code ec;
    const belfry::message reply =
        co_await client_.async_call(net::buffer(&limit, sizeof limit), std::chrono::steady_clock::now() + time,
                                    net::redirect_error(net::use_awaitable, ec));
    const auto bytes = reply.bytes();
    if (!ec) co_return response("200 OK", {reinterpret_cast<const char*>(bytes.data()), bytes.size()});
    if (ec == belfry::errc::overloaded) co_return response("503 Service Unavailable", "too many requests\n");
    if (ec == belfry::errc::deadline_exceeded || ec == belfry::errc::not_started)
      co_return response("504 Gateway Timeout", "not in time\n");
    co_return response("500 Internal Server Error", ec.message() + '\n');
  }

  /// Ends when the other end has closed the connection.
  net::awaitable<void> gone(tcp::socket& socket) {
    belfry::error_code ec;
    co_await socket.async_wait(tcp::socket::wait_read, net::redirect_error(net::use_awaitable, ec));
    if (ec || socket.available(ec) == 0 || ec) co_return;
    net::steady_timer never(io_, net::steady_timer::time_point::max());  // it has sent the next request already
    co_await never.async_wait(net::redirect_error(net::use_awaitable, ec));
  }

  static std::string response(std::string_view status, std::string_view body) {
    return "HTTP/1.1 " + std::string(status) + "\r\nContent-Type: text/plain\r\nContent-Length: " +
           std::to_string(body.size()) + "\r\n\r\n" + std::string(body);
  }

  net::io_context& io_;
  calls::client client_;
  tcp::acceptor acceptor_;
  std::size_t busy_ = 0;  // requests that are not answered yet
};

void run(std::uint16_t port, std::size_t workers) {
  const std::string name = "async-server-" + std::to_string(::getpid());
  std::vector<pid_t> pool;
  for (std::size_t i = 0; i != workers; ++i) pool.push_back(start_worker(name));

  net::io_context io;
  server s(io, name, port);
  std::cout << "async_server: http://localhost:" << s.port() << '/' << std::endl;
  net::co_spawn(io, s.listen(), net::detached);

  // A new worker replaces each one that died.
  net::signal_set children(io, SIGCHLD);
  std::function<void()> replace = [&] {
    children.async_wait([&](belfry::error_code ec, int) {
      if (ec) return;
      for (pid_t& worker : pool) {
        if (::waitpid(worker, nullptr, WNOHANG) != worker) continue;
        io.notify_fork(net::execution_context::fork_prepare);
        worker = start_worker(name);
        io.notify_fork(net::execution_context::fork_parent);
        std::cout << "async_server: a worker was killed; " << worker << " takes its place"
                  << std::endl;
      }
      replace();
    });
  };
  replace();
  net::signal_set signals(io, SIGINT, SIGTERM);
  signals.async_wait([&](belfry::error_code, int) {
    net::co_spawn(io, s.drain(), [&](std::exception_ptr) { io.stop(); });
  });
  io.run();
  children.cancel();
  for (const pid_t worker : pool) end_worker(worker);  // they hold no call any more
}

}  // namespace

int main(int argc, char** argv) try {
  std::uint16_t port = 8080;
  std::size_t workers = 4;
  for (int i = 1; i + 1 < argc; i += 2) {
    if (std::string(argv[i]) == "--port")
      port = static_cast<std::uint16_t>(std::stoul(argv[i + 1]));
    if (std::string(argv[i]) == "--workers") workers = std::stoul(argv[i + 1]);
  }
  run(port, workers);
  return EXIT_SUCCESS;
} catch (const std::exception& e) {
  std::cerr << "async_server: " << e.what() << '\n';
  return EXIT_FAILURE;
}
