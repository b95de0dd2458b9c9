// Streams a file from one process to another through a ring in shared memory.
//
//   pipeline INPUT OUTPUT           starts both processes, and compares the files at the end
//   pipeline produce NAME INPUT     in one shell and
//   pipeline consume NAME OUTPUT    in another one, in any order
//
// The producer claims room in the ring, reads from the file straight into it, and commits. The consumer
// writes every message to its file straight from the ring. An empty message is the end.
#include "net.hpp"

#include <chrono>
#include <cmath>
#include <cstdio>
#include <cstdlib>
#include <cstring>
#include <filesystem>
#include <fstream>
#include <iostream>
#include <string>
#include <vector>

#include <fcntl.h>
#include <signal.h>
#include <sys/wait.h>
#include <unistd.h>

using frames = belfry::channel<belfry::byte_ring>;

namespace {

using namespace std::string_literals;
using clock_type = std::chrono::steady_clock;

constexpr std::size_t chunk = 128 << 10;  // several fit into the ring, which has 1 MiB by default

double seconds_since(clock_type::time_point start) {
  return std::chrono::duration<double>(clock_type::now() - start).count();
}

// ---- progress ---------------------------------------------------------------------------------------

/// The position of a process's progress line: two that share a terminal have half a line each.
enum class place { own_line, left, right };

/// Counts what went through, and shows it on stderr: on a terminal in a line that is overwritten, otherwise
/// as one line per second.
class progress {
 public:
  progress(const char* verb, place where) : verb_(verb), where_(where) {}
  progress(const progress&) = delete;
  progress& operator=(const progress&) = delete;
  ~progress() {
    if (terminal_ && !finished_) std::fputc('\n', stderr);
  }

  void add(std::size_t n) {
    ++messages_;
    bytes_ += n;
    const double seconds = seconds_since(shown_);
    if (seconds < (terminal_ ? 0.1 : 1.0)) return;
    show(static_cast<double>(bytes_ - shown_bytes_) / seconds);
  }

  void finish() {
    show(rate());
    finished_ = true;
    if (terminal_ && where_ == place::own_line) std::fputc('\n', stderr);
  }

  std::uint64_t messages() const { return messages_; }
  std::uint64_t bytes() const { return bytes_; }
  /// In bytes per second, since the start.
  double rate() const {
    return bytes_ == 0 ? 0 : static_cast<double>(bytes_) / seconds_since(start_);
  }

 private:
  void show(double rate) {
    shown_ = clock_type::now();
    shown_bytes_ = bytes_;
    const char* begin = !terminal_ ? "" : where_ == place::right ? "\r\033[40C" : "\r";
    const char* end = terminal_ ? "" : "\n";
    std::fprintf(stderr, "%s%-8s %9.1f MB %8.1f MB/s%s", begin, verb_,
                 static_cast<double>(bytes_) / 1e6, rate / 1e6, end);
  }

  const char* verb_;
  place where_;
  bool terminal_ = ::isatty(STDERR_FILENO) == 1;
  bool finished_ = false;
  clock_type::time_point start_ = clock_type::now();
  clock_type::time_point shown_ = start_;
  std::uint64_t messages_ = 0;
  std::uint64_t bytes_ = 0;
  std::uint64_t shown_bytes_ = 0;
};

// ---- files --------------------------------------------------------------------------------------------

[[noreturn]] void fail(const std::string& what) {
  throw std::system_error(errno, std::generic_category(), what);
}

int open_file(const std::string& path, int flags) {
  const int file = ::open(path.c_str(), flags | O_CLOEXEC, 0666);
  if (file == -1) fail("cannot open " + path);
  return file;
}
int open_input(const std::string& path) { return open_file(path, O_RDONLY); }
int open_output(const std::string& path) { return open_file(path, O_WRONLY | O_CREAT | O_TRUNC); }

/// Returns 0 at the end of the file.
std::size_t read_some(int file, std::span<std::byte> into) {
  const ssize_t n = ::read(file, into.data(), into.size());
  if (n == -1) fail("cannot read the input");
  return static_cast<std::size_t>(n);
}

void write_all(int file, std::span<const std::byte> from) {
  while (!from.empty()) {
    const ssize_t n = ::write(file, from.data(), from.size());
    if (n == -1) fail("cannot write the output");
    from = from.subspan(static_cast<std::size_t>(n));
  }
}

bool same_contents(const std::string& one, const std::string& other) {
  std::ifstream a(one, std::ios::binary);
  std::ifstream b(other, std::ios::binary);
  std::vector<char> x(1 << 20);
  std::vector<char> y(x.size());
  while (a && b) {
    a.read(x.data(), static_cast<std::streamsize>(x.size()));
    b.read(y.data(), static_cast<std::streamsize>(y.size()));
    if (a.gcount() != b.gcount()) return false;
    if (std::memcmp(x.data(), y.data(), static_cast<std::size_t>(a.gcount())) != 0) return false;
  }
  return a.eof() && b.eof();
}

// ---- the two processes -------------------------------------------------------------------------------

net::awaitable<void> produce(frames::producer& tx, int input, place where) {
  progress sent("sent", where);
  for (;;) {
    belfry::claim room = co_await tx.async_claim(chunk, net::use_awaitable);
    const std::size_t n = read_some(input, room.bytes());
    room.commit(n);
    if (n == 0) break;
    sent.add(n);
  }
  sent.finish();
}

net::awaitable<void> consume(frames::consumer& rx, int output, place where) {
  co_await rx.async_wait(net::use_awaitable);  // until the first message is there: then the clock starts
  progress received("received", where);
  for (;;) {
    const belfry::message m = co_await rx.async_receive(net::use_awaitable);
    if (m.size() == 0) break;
    write_all(output, m.bytes());
    received.add(m.size());
  }
  if (::close(output) != 0) fail("cannot write the output");
  const double rate = received.rate();
  received.finish();
  std::cout << "pipeline: " << received.messages() << " messages, " << received.bytes()
            << " bytes, " << std::llround(rate / 1e6) << " MB/s" << std::endl;
}

/// What an operation's error means here.
std::string explain(const belfry::net_system_error& e) {
  if (e.code() == belfry::errc::peer_died) return "the other side was killed";
  if (e.code() == belfry::errc::closed) return "the other side gave up";
  return e.what();
}

/// Runs the coroutine to its end. Ctrl-C closes the endpoint, which ends it early.
template <class Endpoint>
void run(net::io_context& io, Endpoint& end, net::awaitable<void> work) try {
  net::signal_set signals(io, SIGINT, SIGTERM, SIGHUP);
  signals.async_wait([&](belfry::error_code ec, int) {
    if (!ec) end.close();
  });
  net::co_spawn(io, std::move(work), [&](std::exception_ptr e) {
    signals.cancel();
    rethrow(e);
  });
  io.run();
} catch (const std::exception& e) {
  // Unread messages would stay for a later consumer, but half a file is useless.
  belfry::error_code ignored;
  frames::unlink(end.name(), ignored);
  if (!end.is_open()) throw std::runtime_error("interrupted");
  if (auto* error = dynamic_cast<const belfry::net_system_error*>(&e)) {
    throw std::runtime_error(explain(*error));
  }
  throw;
}

void produce_file(const std::string& name, int input, place where = place::own_line) {
  net::io_context io;
  frames::producer tx(io, name);
  run(io, tx, produce(tx, input, where));
}

void consume_file(const std::string& name, int output, place where = place::own_line) {
  net::io_context io;
  frames::consumer rx(io, name);
  run(io, rx, consume(rx, output, where));
}

// ---- both at once ------------------------------------------------------------------------------------

/// Does the work; reports what went wrong.
template <class Work>
int guarded(const char* who, Work work) {
  try {
    work();
    return EXIT_SUCCESS;
  } catch (const std::exception& e) {
    std::cerr << who + ": "s + e.what() + '\n';  // in one write: another process also writes there
    return EXIT_FAILURE;
  }
}

/// Starts and watches the two processes. The signals that it waits for are blocked, so that none is lost. It
/// has no threads and no io_context, so that it may fork.
class children {
 public:
  children() {
    ::sigemptyset(&signals_);
    for (const int s : {SIGCHLD, SIGINT, SIGTERM, SIGHUP}) ::sigaddset(&signals_, s);
    ::signal(SIGCHLD, SIG_DFL);
    ::sigprocmask(SIG_BLOCK, &signals_, &before_);
  }
  children(const children&) = delete;
  children& operator=(const children&) = delete;
  ~children() {
    stop();
    wait();
  }

  template <class Work>
  void start(const char* who, Work work) {
    const pid_t pid = ::fork();
    if (pid == -1) fail("cannot start a process");
    if (pid == 0) {
      ::sigprocmask(SIG_SETMASK, &before_, nullptr);
      ::_exit(guarded(who, work));
    }
    running_.push_back({pid, who});
  }

  /// True if both succeeded. If one fails, the other learns that from the channel, and ends. If the other was
  /// still waiting for its peer to join, it is stopped.
  bool wait() {
    const timespec second{1, 0};
    bool good = true;
    while (!running_.empty()) {
      const int signal = ::sigtimedwait(&signals_, nullptr, &second);
      if (signal == -1 ? !good : signal != SIGCHLD) {
        good = false;
        stop();
      }
      std::erase_if(running_, [&](const child& c) {
        int status = 0;
        if (::waitpid(c.pid, &status, WNOHANG) != c.pid) return false;
        if (status != 0) good = false;
        if (WIFSIGNALED(status)) {
          std::cerr << c.who + ": killed by signal "s + std::to_string(WTERMSIG(status)) + '\n';
        }
        return true;
      });
    }
    return good;
  }

  void stop() const {
    for (const child& c : running_) ::kill(c.pid, SIGTERM);
  }

 private:
  struct child {
    pid_t pid;
    const char* who;
  };
  sigset_t signals_;
  sigset_t before_;
  std::vector<child> running_;
};

int run_both(const std::string& input_path, const std::string& output_path) {
  namespace fs = std::filesystem;
  const int input = open_input(input_path);
  if (!fs::is_regular_file(input_path)) throw std::runtime_error(input_path + " is not a file");
  std::error_code not_there;
  if (fs::equivalent(input_path, output_path, not_there)) {
    throw std::runtime_error("INPUT and OUTPUT are the same file");
  }
  const int output = open_output(output_path);
  int report[2];  // receives what the consumer prints
  if (::pipe(report) == -1) fail("cannot make a pipe");

  const std::string name = "pipeline-" + std::to_string(::getpid());
  children both;
  both.start("producer", [&] { produce_file(name, input, place::left); });
  both.start("consumer", [&] {
    ::dup2(report[1], STDOUT_FILENO);
    consume_file(name, output, place::right);
  });
  const bool done = both.wait();
  if (!done) {
    belfry::error_code ignored;
    frames::unlink(name, ignored);  // both may have been killed
    return EXIT_FAILURE;
  }
  if (::isatty(STDERR_FILENO) == 1) std::cerr << std::endl;

  std::string line(200, '\0');
  line.resize(read_some(report[0], std::as_writable_bytes(std::span(line))));
  while (line.ends_with('\n')) line.pop_back();
  const bool identical = same_contents(input_path, output_path);
  std::cout << line << (identical ? ", identical" : ", different") << std::endl;
  return identical ? EXIT_SUCCESS : EXIT_FAILURE;
}

}  // namespace

int main(int argc, char** argv) {
  const std::vector<std::string> args(argv, argv + argc);
  int status = EXIT_FAILURE;
  const int failed = guarded("pipeline", [&] {
    if (argc == 4 && args[1] == "produce") {
      produce_file(args[2], open_input(args[3]));
    } else if (argc == 4 && args[1] == "consume") {
      consume_file(args[2], open_output(args[3]));
    } else if (argc == 3) {
      status = run_both(args[1], args[2]);
      return;
    } else {
      std::cerr << "usage: pipeline INPUT OUTPUT | produce NAME INPUT | consume NAME OUTPUT\n";
      return;
    }
    status = EXIT_SUCCESS;
  });
  return failed ? failed : status;
}
