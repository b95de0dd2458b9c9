// Counts lines, words and bytes of a file, as wc(1), in several processes.
//
//   fork_workers [FILE] [--workers N] [--kill]     this program's own file, 4 workers
//
// Every worker has two channels of its own, one for work and one for results. The channels have no names: the
// workers inherit the handles over fork. If a worker is killed (--kill kills one), the parent's receive fails
// with `peer_died`, and the parent gives the work to another worker.
#include "net.hpp"

#include <algorithm>
#include <cctype>
#include <chrono>
#include <cstdlib>
#include <iostream>
#include <list>
#include <optional>
#include <string>
#include <system_error>
#include <vector>

#include <fcntl.h>
#include <signal.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <unistd.h>

struct chunk {
  std::uint64_t offset;
  std::uint64_t bytes;
};
struct counts {
  std::uint64_t lines;
  std::uint64_t words;
  std::uint64_t bytes;
};
using jobs = belfry::channel<belfry::spsc_ring<chunk, 4>>;
using results = belfry::channel<belfry::spsc_ring<counts, 4>>;

namespace {

using namespace std::chrono_literals;

constexpr std::uint64_t chunk_bytes = 256 << 10;

[[noreturn]] void fail(const std::string& what) {
  throw std::system_error(errno, std::generic_category(), what);
}

// ---- a worker -----------------------------------------------------------------------------------------

bool is_space(char c) { return std::isspace(static_cast<unsigned char>(c)) != 0; }

/// A word belongs to the chunk in which it begins.
counts count(int file, chunk c) {
  std::vector<char> text(1 + c.bytes, ' ');
  const std::uint64_t before = c.offset == 0 ? 0 : 1;  // one byte more, to see whether a word begins here
  const std::uint64_t wanted = before + c.bytes;
  const ssize_t n =
      ::pread(file, text.data() + 1 - before, wanted, static_cast<off_t>(c.offset - before));
  if (n != static_cast<ssize_t>(wanted)) throw std::runtime_error("the file has changed");
  counts result{0, 0, c.bytes};
  for (std::size_t i = 1; i != text.size(); ++i) {
    if (text[i] == '\n') ++result.lines;
    if (!is_space(text[i]) && is_space(text[i - 1])) ++result.words;
  }
  return result;
}

/// Does nothing else, so it blocks. Ends when the parent closes its side, or dies.
void work(int file, const belfry::channel_handles& job_handles,
          const belfry::channel_handles& result_handles) {
  net::io_context io;
  jobs::consumer rx(io, job_handles);
  results::producer tx(io, result_handles);
  for (chunk c; !rx.receive(c);) {
    if (tx.send(count(file, c))) return;
  }
}

// ---- the parent ---------------------------------------------------------------------------------------

struct worker {
  belfry::channel_handles job_handles = jobs::make_handles();
  belfry::channel_handles result_handles = results::make_handles();
  pid_t pid = -1;
  bool alive = true;
  std::optional<jobs::producer> tx;
  std::optional<results::consumer> rx;
};

struct state {
  std::vector<chunk> todo;
  counts sum{};
  bool kill_one = false;
};

/// Gives work to a worker as long as there is work and the worker lives.
net::awaitable<void> feed(worker& w, state& s) {
  using namespace net::experimental::awaitable_operators;
  // Only a worker that has joined can be seen to die: one that has not joined by then never will.
  net::steady_timer timer(co_await net::this_coro::executor, 5s);
  const auto there =
      co_await (w.rx->async_wait_peer(net::use_awaitable) || timer.async_wait(net::use_awaitable));
  w.alive = there.index() == 0;
  while (w.alive && !s.todo.empty()) {
    const chunk c = s.todo.back();
    s.todo.pop_back();
    co_await w.tx->async_send(c, net::use_awaitable);
    if (std::exchange(s.kill_one, false)) ::kill(w.pid, SIGKILL);

    belfry::error_code ec;
    const counts r = co_await w.rx->async_receive(net::redirect_error(net::use_awaitable, ec));
    if (ec) {
      std::cerr << "fork_workers: " << w.pid << ": " << ec.message() << std::endl;
      w.alive = false;
      s.todo.push_back(c);
    } else {
      s.sum.lines += r.lines;
      s.sum.words += r.words;
      s.sum.bytes += r.bytes;
    }
  }
}

void run(const std::string& path, unsigned n, bool kill_one) {
  const int file = ::open(path.c_str(), O_RDONLY | O_CLOEXEC);
  struct stat info {};
  if (file == -1 || ::fstat(file, &info) == -1) fail("cannot open " + path);
  const auto size = static_cast<std::uint64_t>(info.st_size);

  std::list<worker> workers(n);
  for (worker& w : workers) {  // fork before there is an io_context
    w.pid = ::fork();
    if (w.pid == -1) fail("cannot start a process");
    if (w.pid == 0) {
      work(file, w.job_handles, w.result_handles);
      std::_Exit(EXIT_SUCCESS);
    }
  }

  state s;
  s.kill_one = kill_one;
  for (std::uint64_t at = 0; at < size; at += chunk_bytes) {
    s.todo.push_back({at, std::min(chunk_bytes, size - at)});
  }

  net::io_context io;
  for (worker& w : workers) {
    w.tx.emplace(io, w.job_handles);
    w.rx.emplace(io, w.result_handles);
  }
  const auto alive = [](const worker& w) { return w.alive; };
  do {  // again if a worker died with work to do after the others had finished
    for (worker& w : workers) {
      if (w.alive) net::co_spawn(io, feed(w, s), rethrow);
    }
    io.restart();
    io.run();
  } while (!s.todo.empty() && std::any_of(workers.begin(), workers.end(), alive));
  for (worker& w : workers) w.tx->close();  // tells the workers that there is no more work
  for (const worker& w : workers) ::waitpid(w.pid, nullptr, 0);
  if (!s.todo.empty()) throw std::runtime_error("no worker is left");
  std::cout << s.sum.lines << ' ' << s.sum.words << ' ' << s.sum.bytes << ' ' << path << std::endl;
}

}  // namespace

int main(int argc, char** argv) try {
  std::string path = argv[0];
  unsigned workers = 4;
  bool kill_one = false;
  for (int i = 1; i < argc; ++i) {
    const std::string arg = argv[i];
    if (arg == "--kill") {
      kill_one = true;
    } else if (arg == "--workers" && i + 1 < argc) {
      workers = static_cast<unsigned>(std::stoul(argv[++i]));
    } else {
      path = arg;
    }
  }
  run(path, workers, kill_one);
  return EXIT_SUCCESS;
} catch (const std::exception& e) {
  std::cerr << "fork_workers: " << e.what() << '\n';
  return EXIT_FAILURE;
}
