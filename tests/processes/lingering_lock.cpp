// A lock that outlives its holder for a while, because the kernel may show the death of a process before it
// has closed the file with the lock. A waiter gets the lock when it is free, and does not block its event
// loop.
#include "support/process.hpp"
#include "support/rings.hpp"

#include <belfry/watch.hpp>

#include <ctime>
#include <filesystem>

#include <sys/syscall.h>
#include <unistd.h>

#if defined(BELFRY_BOOST_ASIO)
#include <boost/asio/steady_timer.hpp>
#else
#include <asio/steady_timer.hpp>
#endif

using namespace belfry;
using namespace belfry::test;

namespace {
thread_local int slept = 0;
}

// Replaces the C library's function, also for the library.
extern "C" int nanosleep(const timespec* duration, timespec* remaining) {
  ++slept;
  return static_cast<int>(::syscall(SYS_nanosleep, duration, remaining));
}

namespace {

/// Closes every descriptor that does not belong to this block.
void keep_only(const std::string& block) {
  std::vector<int> others;
  for (const auto& entry : std::filesystem::directory_iterator("/proc/self/fd")) {
    std::error_code ignored;
    if (std::filesystem::read_symlink(entry, ignored) != "/dev/shm/" + block)
      others.push_back(std::stoi(entry.path().filename()));
  }
  for (const int descriptor : others) ::close(descriptor);
}

/// Holds a transaction until it is killed. Its lock then lasts until release().
class lingering_holder {
 public:
  explicit lingering_holder(const std::string& block)
      : holder_([&] {
          shared_memory m = shared_memory::open(block);
          const transaction t = m.txn();
          // A copy of the holder's descriptors, unknown to the library, stands for a kernel that has not
          // closed the file with the lock yet.
          if (::syscall(SYS_clone, SIGCHLD, 0, 0, 0, 0) == 0) {
            ::alarm(60);
            keep_only(block);
            copy_->store(::getpid());
          }
          for (;;) ::pause();
        }) {
    await([&] { return copy_->load() != 0; });
  }
  ~lingering_holder() { release(); }

  void die() { holder_.kill(); }
  void release() {
    if (const pid_t pid = copy_->exchange(0)) ::kill(pid, SIGKILL);
  }

 private:
  shared<std::atomic<pid_t>> copy_;
  child holder_;
};

/// Runs the context for a while, whatever is pending.
void run_for_a_while(net::io_context& io) {
  net::steady_timer timer(io, std::chrono::milliseconds(400));
  bool over = false;
  timer.async_wait([&](const error_code&) { over = true; });
  io.restart();
  while (!over) io.run_one();
}

struct held_block {
  explicit held_block(std::string_view what) : name(unique_name(what)) {
    shared_memory::create(name, 64);
  }
  ~held_block() { shared_memory::unlink(name); }
  std::string name;
};

}  // namespace

TEST_CASE("an event loop that waits for a dead holder's lock keeps running, and gets the lock when it is released",
          "[lingering-lock]") {
  const watchdog limit;
  const held_block b("lingering");
  lingering_holder holder(b.name);
  net::io_context io;
  watch w(io, shared_memory::open(b.name));
  int calls = 0;
  transaction held;
  error_code ec;
  const bool waits_before = GENERATE(true, false);
  CAPTURE(waits_before);
  if (!waits_before) holder.die();
  w.async_txn([&](const error_code& e, transaction t) {
    ++calls;
    ec = e;
    held = std::move(t);
  });
  settle(io);
  if (waits_before) holder.die();
  slept = 0;
  run_for_a_while(io);
  CHECK(slept == 0);
  CHECK(calls == 0);
  holder.release();
  REQUIRE(run(io));
  CHECK(calls == 1);
  CHECK(ec == errc::owner_died);
  CHECK(held);
}

TEST_CASE("a thread that waits for a dead holder's lock gets it when it is released", "[lingering-lock]") {
  const watchdog limit;
  const held_block b("thread");
  lingering_holder holder(b.name);
  shared_memory m = shared_memory::open(b.name);
  error_code ec;
  const transaction late = m.txn(std::chrono::milliseconds(1), ec);
  CHECK(ec == std::errc::timed_out);
  holder.die();
  const transaction later = m.txn(std::chrono::milliseconds(300), ec);
  CHECK(ec == std::errc::timed_out);
  std::thread end([&] {
    ::usleep(300'000);
    holder.release();
  });
  const transaction t = m.txn(ec);
  end.join();
  CHECK(ec == errc::owner_died);
  CHECK(t);
}

TEST_CASE("an event loop that waits for a transaction keeps running when a watcher dies",
          "[lingering-lock]") {
  const watchdog limit;
  const held_block b("watcher");
  const event ready;
  child watcher([&] {
    net::io_context io;
    watch w(io, shared_memory::open(b.name));
    ready.set();
    for (;;) ::pause();
  });
  ready.wait();
  net::io_context io;
  watch holder(io, shared_memory::open(b.name));
  watch w(io, shared_memory::open(b.name));
  transaction first, second;
  holder.async_txn([&](const error_code&, transaction t) { first = std::move(t); });
  settle(io);
  REQUIRE(first);
  w.async_txn([&](const error_code&, transaction t) { second = std::move(t); });
  settle(io);
  slept = 0;
  watcher.kill();
  run_for_a_while(io);
  CHECK(slept == 0);
  CHECK_FALSE(second);
  first.end();
  REQUIRE(run(io));
  CHECK(second);
}
