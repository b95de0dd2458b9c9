// A web server that lets a pool of processes do its work: GET /N answers with the number of primes up to N.
//
//   async_server [--port P] [--workers N]        and, in another shell: curl localhost:8080/100000
//
// Requests go to the workers over a work_ring, each to one worker. Answers come back over another ring, and
// are matched by their number. A worker acknowledges a request after it has answered it. If it is killed
// before (kill -9), the request takes longer but is not lost: another worker gets it, and the server starts a
// new worker.
#include "net.hpp"

#include <cstdlib>
#include <functional>
#include <iostream>
#include <optional>
#include <string>
#include <unordered_map>
#include <utility>
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
#include <sys/wait.h>
#include <unistd.h>

namespace {

using net::ip::tcp;

struct request {
  std::uint64_t id;
  std::uint64_t limit;
};
struct answer {
  std::uint64_t id;
  std::uint64_t primes;
  pid_t worker;
};
using requests = belfry::channel<belfry::work_ring<request, 256>>;
using answers = belfry::channel<belfry::work_ring<answer, 256>>;

// ---- a worker, in a process of its own ------------------------------------------------------------------

std::uint64_t count_primes(std::uint64_t limit) {
  std::vector<bool> composite(limit + 1);
  std::uint64_t count = 0;
  for (std::uint64_t n = 2; n <= limit; ++n) {
    if (composite[n]) continue;
    ++count;
    for (std::uint64_t m = n * n; m <= limit; m += n) composite[m] = true;
  }
  return count;
}

net::awaitable<void> work(net::io_context& io, std::string name) {
  requests::consumer rx(io, name + "-requests");
  answers::producer tx(io, name + "-answers");
  for (;;) {
    belfry::error_code ec;
    auto held = co_await rx.async_receive_lease(net::redirect_error(net::use_awaitable, ec));
    if (ec) co_return;  // the server has ended, with or without closing the channel
    const request r = held.value();
    const answer a{r.id, count_primes(r.limit), ::getpid()};
    co_await tx.async_send(a, net::redirect_error(net::use_awaitable, ec));
    if (!ec) held.ack();
  }
}

pid_t start_worker(const std::string& name) {
  const pid_t pid = ::fork();
  if (pid != 0) return pid;
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

// ---- the server -----------------------------------------------------------------------------------------

class server {
 public:
  server(net::io_context& io, const std::string& name)
      : io_(io), tx_(io, name + "-requests"), rx_(io, name + "-answers") {}

  net::awaitable<void> listen(tcp::acceptor& acceptor) {
    for (;;) {
      tcp::socket socket = co_await acceptor.async_accept(net::use_awaitable);
      net::co_spawn(io_, serve(std::move(socket)), net::detached);
    }
  }

  /// Gives every answer to the handler that waits for it. A request may be answered twice: by a worker that
  /// was killed before it could acknowledge, and by the worker that got the request next.
  net::awaitable<void> hand_out() {
    for (;;) {
      belfry::error_code ec;
      const answer a = co_await rx_.async_receive(net::redirect_error(net::use_awaitable, ec));
      if (ec) continue;  // a worker has died: another one gets its request
      if (const auto waits = waiting_.find(a.id); waits != waiting_.end()) {
        waits->second->answer = a;
        waits->second->there.cancel();
      }
    }
  }

  void stop() {
    tx_.close();
    rx_.close();
  }

 private:
  struct pending {
    explicit pending(net::io_context& io) : there(io, net::steady_timer::time_point::max()) {}
    net::steady_timer there;
    std::optional<::answer> answer;
  };

  net::awaitable<answer> ask(std::uint64_t limit) {
    const request r{++last_id_, limit};
    pending p(io_);
    waiting_.emplace(r.id, &p);
    belfry::error_code ec;
    do {  // again if all slots were taken and a worker died meanwhile
      co_await tx_.async_send(r, net::redirect_error(net::use_awaitable, ec));
    } while (ec == belfry::errc::peer_died);
    while (!p.answer) {
      belfry::error_code ignored;
      co_await p.there.async_wait(net::redirect_error(net::use_awaitable, ignored));
    }
    waiting_.erase(r.id);
    co_return *p.answer;
  }

  net::awaitable<void> serve(tcp::socket socket) {
    std::string text;
    for (;;) {
      belfry::error_code ec;
      const std::size_t n =
          co_await net::async_read_until(socket, net::dynamic_buffer(text, 8192), "\r\n\r\n",
                                         net::redirect_error(net::use_awaitable, ec));
      if (ec) co_return;
      const std::string head = text.substr(0, n);
      text.erase(0, n);
      const std::string reply = co_await reply_to(head);
      co_await net::async_write(socket, net::buffer(reply),
                                net::redirect_error(net::use_awaitable, ec));
      if (ec) co_return;
    }
  }

  net::awaitable<std::string> reply_to(std::string head) {
    constexpr std::uint64_t most = 10'000'000;
    std::uint64_t limit = most + 1;
    if (head.rfind("GET /", 0) == 0) limit = std::strtoull(head.c_str() + 5, nullptr, 10);
    if (limit > most) co_return "HTTP/1.1 400 Bad Request\r\nContent-Length: 0\r\n\r\n";
    const answer a = co_await ask(limit);
    const std::string body = std::to_string(a.primes) + " primes up to " + std::to_string(limit) +
                             ", says worker " + std::to_string(a.worker) + "\n";
    co_return "HTTP/1.1 200 OK\r\nContent-Type: text/plain\r\nContent-Length: " +
        std::to_string(body.size()) + "\r\n\r\n" + body;
  }

  net::io_context& io_;
  requests::producer tx_;
  answers::consumer rx_;
  std::uint64_t last_id_ = 0;
  std::unordered_map<std::uint64_t, pending*> waiting_;
};

void run(std::uint16_t port, std::size_t workers) {
  const std::string name = "async-server-" + std::to_string(::getpid());
  std::vector<pid_t> pool;
  for (std::size_t i = 0; i != workers; ++i) pool.push_back(start_worker(name));

  net::io_context io;
  server s(io, name);
  tcp::acceptor acceptor(io, {net::ip::address_v4::loopback(), port});
  std::cout << "async_server: http://localhost:" << acceptor.local_endpoint().port() << '/'
            << std::endl;
  net::co_spawn(io, s.listen(acceptor), net::detached);
  net::co_spawn(io, s.hand_out(), net::detached);

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
  signals.async_wait([&](belfry::error_code, int) { io.stop(); });
  io.run();
  children.cancel();
  s.stop();  // tells the workers that there will be no more requests
  for (const pid_t worker : pool) ::waitpid(worker, nullptr, 0);
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
