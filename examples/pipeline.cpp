// Streams a file from one process to another through a ring in shared memory.
//
//   pipeline INPUT OUTPUT           starts both processes, and compares the files at the end
//   pipeline produce NAME INPUT     in one shell and
//   pipeline consume NAME OUTPUT    in another one, in any order
//
// The producer claims room in the ring, reads from the file straight into it, and commits. The consumer
// writes every message to its file straight from the ring. An empty message is the end.
#include "children.hpp"
#include "files.hpp"
#include "net.hpp"
#include "process.hpp"

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
  bool terminal_ = shows_errors_on_terminal();
  bool finished_ = false;
  clock_type::time_point start_ = clock_type::now();
  clock_type::time_point shown_ = start_;
  std::uint64_t messages_ = 0;
  std::uint64_t bytes_ = 0;
  std::uint64_t shown_bytes_ = 0;
};

// ---- files --------------------------------------------------------------------------------------------

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
  close_file(output);
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
  net::signal_set signals(io, SIGINT, SIGTERM, hang_up);
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

int run_both(const std::string& input_path, const std::string& output_path) {
  namespace fs = std::filesystem;
  close_file(open_input(input_path));  // what is wrong with the files is told once, and here
  if (!fs::is_regular_file(input_path)) throw std::runtime_error(input_path + " is not a file");
  std::error_code not_there;
  if (fs::equivalent(input_path, output_path, not_there)) {
    throw std::runtime_error("INPUT and OUTPUT are the same file");
  }
  close_file(open_output(output_path));

  const std::string name = "pipeline-" + own_number();
  children both;
  both.start("producer", {"producer", name, input_path});
  both.start("consumer", {"consumer", name, output_path}, children::output::kept);
  const bool done = both.wait();
  if (!done) {
    belfry::error_code ignored;
    frames::unlink(name, ignored);  // both may have been killed
    return EXIT_FAILURE;
  }
  if (shows_errors_on_terminal()) std::cerr << std::endl;

  std::string line = both.kept();
  while (line.ends_with('\n')) line.pop_back();
  const bool identical = same_contents(input_path, output_path);
  std::cout << line << (identical ? ", identical" : ", different") << std::endl;
  return identical ? EXIT_SUCCESS : EXIT_FAILURE;
}

}  // namespace

int main(int argc, char** argv) {
  const std::vector<std::string> args(argv, argv + argc);
  int status = EXIT_FAILURE;
  const bool one_of_both = argc == 4 && (args[1] == "producer" || args[1] == "consumer");
  const int failed = guarded(one_of_both ? argv[1] : "pipeline", [&] {
    if (one_of_both && args[1] == "producer") {
      produce_file(args[2], open_input(args[3]), place::left);
    } else if (one_of_both) {
      consume_file(args[2], open_output(args[3]), place::right);
    } else if (argc == 4 && args[1] == "produce") {
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
