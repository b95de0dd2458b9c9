// Servers, and the processes that start them: how they start, and end without kills.
#include "open_files.hpp"
#include "servers.hpp"

#include <atomic>
#include <csignal>
#include <cstdint>
#include <filesystem>
#include <fstream>
#include <functional>
#include <limits>
#include <optional>
#include <string>
#include <string_view>
#include <thread>
#include <vector>

#include <sys/wait.h>
#include <unistd.h>

using namespace belfry;
using namespace belfry::test;

namespace {

/// Of a server, or of a process that deals with one.
bool has_record_or_socket() {
  return any_open([](std::string_view file) { return file.find(".record") != file.npos || file.starts_with("socket:"); });
}

/// When this returns, the child of this process has stopped.
void child_stopped(pid_t pid) {
  ::kill(pid, SIGSTOP);
  int status = 0;
  EXPECT(::waitpid(pid, &status, WUNTRACED) == pid && WIFSTOPPED(status));
}

}  // namespace

TEST_CASE("a server that is shut down ends and leaves nothing behind", "[managers]") {
  const watchdog dog;
  const std::string name = unique_name("shutdown");
  const nothing_left check(name);
  const life_directory directory;
  shared_memory_manager m;
  for (const bool given : {true, false}) {
    if (given) {
      m.start(directory.socket(), life_key, directory.options());
      CHECK(m.address() == directory.socket());
      CHECK(m.authkey() == life_key);
    } else {
      m.start(directory.options());
      CHECK(m.address().starts_with(directory.path()));
      CHECK(m.authkey().size() == 64);
    }
    const pid_t server = server_of(::getpid());
    const auto block = m.shared_memory(100, name);
    m.shareable_list({1, 2, 3}, name + "-list");
    CHECK(directory.files() == 2);
    m.shutdown();
    CHECK(has_ended(server));
    CHECK(servers_of(::getpid()).empty());
    CHECK_FALSE(exists(name));
    CHECK(files_of(name) == 0);
    CHECK(directory.files() == 0);
  }
  m.start(directory.options());
  SECTION("by the destructor") { m.shared_memory(100, name); }
  SECTION("by assignment") {
    m.shared_memory(100, name);
    m = shared_memory_manager();
    CHECK(files_of(name) == 0);
    CHECK(directory.files() == 0);
  }
  SECTION("by a client") {
    shared_memory_manager other = shared_memory_manager::connect(m.address(), m.authkey());
    other.shared_memory(100, name);
    const pid_t server = server_of(::getpid());
    other.shutdown();
    CHECK(soon([&] { return has_ended(server); }));
    CHECK(files_of(name) == 0);
    CHECK(directory.files() == 0);
    m.shutdown();  // it has already ended
    CHECK_FALSE(m.is_connected());
  }
}

TEST_CASE("a signal ends `belfry serve`", "[managers]") {
  const watchdog dog;
  const std::string name = unique_name("signal");
  const nothing_left check(name);
  const life_directory directory;
  const int signal = GENERATE(SIGTERM, SIGINT);
  child server = serve(directory);
  shared_memory_manager m = client_of(directory);
  const auto block = m.shared_memory(100, name);
  REQUIRE(::kill(server.pid(), signal) == 0);
  CHECK(server.wait() == 0);
}

TEST_CASE("a server process whose timeout is the greatest has no limit", "[managers]") {
  const watchdog dog;
  const life_directory directory;
  manager_options options = directory.options();
  options.timeout = std::chrono::nanoseconds::max();
  shared_memory_manager m;
  m.start(options);
  m.shutdown();
  // More than the library can be told.
  child server = serve(directory, {"--timeout", std::to_string(std::numeric_limits<std::int64_t>::max())});
  CHECK(client_of(directory).list_segments().empty());
  client_of(directory).shutdown();
  CHECK(server.wait() == 0);
}

TEST_CASE("two starters at the same time get different addresses", "[managers]") {
  const watchdog dog;
  const std::string name = unique_name("private");
  const nothing_left check(name);
  const life_directory directory;
  SECTION("in one process") {
    shared_memory_manager a;
    shared_memory_manager b;
    a.start(directory.options());
    b.start(directory.options());
    CHECK(a.address() != b.address());
    CHECK(a.authkey() != b.authkey());
    a.shared_memory(100, name + "-a");
    b.shared_memory(100, name + "-b");
    error_code ec;
    shared_memory_manager::connect(a.address(), b.authkey(), {}, ec);
    CHECK(ec == errc::authentication_failed);
    a.shutdown();
    CHECK_FALSE(exists(name + "-a"));
    CHECK(b.list_segments() == std::vector{name + "-b"});
  }
  SECTION("in many processes") {
    const event done;
    std::vector<child> starters;
    for (int i = 0; i != 4; ++i) {
      starters.emplace_back([&, i] {
        const std::string mine = name + '-' + std::to_string(i);
        shared_memory_manager m;
        m.start(directory.options());
        m.shared_memory(100, mine);
        EXPECT(m.list_segments() == std::vector{mine});
        done.wait();
        EXPECT(m.list_segments() == std::vector{mine});
      });
    }
    await([&] { return files_of(name) == starters.size(); });
    CHECK(directory.files() == 2 * starters.size());
    done.set(starters.size());
    for (child& c : starters) CHECK(c.wait() == 0);
  }
}

TEST_CASE("a server that cannot be started is an error", "[managers]") {
  const watchdog dog;
  const life_directory directory;
  child test([&] {
    shared_memory_manager m;
    error_code ec;
    const std::string program = platform::belfry_program();
    ::setenv("BELFRY_EXECUTABLE", "/nowhere/belfry", 1);
    m.start({}, life_key, directory.options(), ec);
    EXPECT(ec == std::errc::no_such_file_or_directory);
    ::setenv("BELFRY_EXECUTABLE", "/bin/true", 1);  // ends without printing anything
    m.start({}, life_key, directory.options(), ec);
    EXPECT(ec == std::errc::connection_reset);
    ::setenv("BELFRY_EXECUTABLE", program.c_str(), 1);
    EXPECT(!m.is_connected());

    m.start(directory.socket(), life_key, directory.options());
    shared_memory_manager second;
    second.start("0.0.0.0:0", life_key, directory.options(), ec);
    EXPECT(ec);
    second.start(directory.options());  // nothing is left of the failed start
    EXPECT(second.is_connected());
    EXPECT_EQ(servers_of(::getpid()).size(), 2u);
  });
  CHECK(test.wait() == 0);
}

TEST_CASE("a server that is killed before it has told its address leaves nothing", "[managers]") {
  const watchdog dog;
  const life_directory directory;
  const life_directory other;
  const std::string silent = other.path() + "/silent";
  child test([&] {
    // As if the server did not get as far as telling it.
    std::ofstream(silent) << "#!/bin/sh\n"
                          << "shift 5\n"
                          << "exec " << platform::belfry_program()
                          << " serve --authkey-fd 0 --lifeline 3 \"$@\" 3>&1 >/dev/null\n";
    std::filesystem::permissions(silent, std::filesystem::perms::owner_all);
    ::setenv("BELFRY_EXECUTABLE", silent.c_str(), 1);
    net::io_context io;
    shared_memory_manager m(io);
    net::cancellation_signal signal;
    error_code ended;
    m.async_start({}, life_key, directory.options(),
                  net::bind_cancellation_slot(signal.slot(), [&](error_code ec) { ended = ec; }));
    io.poll();
    await([&] { return directory.files() == 2; });  // record and socket
    child_stopped(server_of(::getpid()));           // so it neither ends by itself nor cleans up
    signal.emit(net::cancellation_type::terminal);
    EXPECT(run(io));
    EXPECT(ended == net::error::operation_aborted);
    EXPECT(servers_of(::getpid()).empty());
    EXPECT_EQ(directory.files(), 0u);
  });
  CHECK(test.wait() == 0);
  std::filesystem::remove(silent);
}

TEST_CASE("the starter's signals and handles do not matter", "[managers]") {
  const watchdog dog;
  const std::string name = unique_name("odd");
  const nothing_left check(name);
  const life_directory directory;
  std::function<void()> oddity;
  SECTION("SIGTERM is ignored, and blocked") {
    oddity = [] {
      ::signal(SIGTERM, SIG_IGN);
      sigset_t all;
      sigfillset(&all);
      ::sigprocmask(SIG_BLOCK, &all, nullptr);
    };
  }
  SECTION("children are reaped by the system") {
    oddity = [] { ::signal(SIGCHLD, SIG_IGN); };
  }
  SECTION("standard input and output are closed") {
    oddity = [] {
      ::close(0);
      ::close(1);
    };
  }
  SECTION("standard error is closed as well") {
    oddity = [] {
      for (const int standard : {0, 1, 2}) ::close(standard);
    };
  }
  SECTION("SIGINT is ignored") {
    oddity = [] { ::signal(SIGINT, SIG_IGN); };
  }
  child odd([&] {
    oddity();
    shared_memory_manager m;
    m.start(directory.options());
    m.shared_memory(100, name);
    m.shutdown();
    EXPECT_EQ(files_of(name), 0u);
    m.start(directory.options());
    m.shared_memory(100, name);
    const pid_t server = server_of(::getpid());
    EXPECT_EQ(::kill(server, SIGTERM), 0);
    EXPECT(soon([&] { return has_ended(server); }));
    EXPECT_EQ(files_of(name), 0u);
  });
  CHECK(odd.wait() == 0);
}

TEST_CASE("an interrupt from the terminal does not end a started server", "[managers]") {
  const watchdog dog;
  const std::string name = unique_name("interrupt");
  const nothing_left check(name);
  const life_directory directory;
  child group([&] {
    EXPECT_EQ(::setpgid(0, 0), 0);
    ::signal(SIGINT, [](int) {});
    for (int i = 0; i != 5; ++i) {
      // It is sent again and again, also while the server is starting.
      child terminal([group = ::getpid()] {
        ::signal(SIGINT, SIG_IGN);
        for (;;) {
          ::kill(-group, SIGINT);
          ::usleep(500);
        }
      });
      shared_memory_manager m;
      m.start(directory.options());
      const std::string mine = name + std::to_string(i);
      m.shared_memory(100, mine);
      ::usleep(5000);
      EXPECT(m.list_segments() == std::vector{mine});
      m.shutdown();
    }
  });
  CHECK(group.wait() == 0);
}

// ---- forks ---------------------------------------------------------------------------------------------

TEST_CASE("a forked child has no handle with which another thread starts, runs or reaches a server", "[managers]") {
  const life_directory directory;
  child parent([&] {
    std::atomic<bool> over{false};
    std::thread starter([&] {
      while (!over) {
        shared_memory_manager mgr;
        mgr.start({}, life_key, directory.options());
      }
    });
    std::thread server([&] {
      while (!over) {
        net::io_context io;
        const manager_server s(io, directory.socket(), life_key, directory.options());
      }
    });
    int status = 0;
    for (int i = 0; i != 300 && status == 0; ++i) {
      const pid_t pid = ::fork();
      if (pid == 0) ::_exit(has_record_or_socket() ? 1 : 0);
      EXPECT_EQ(::waitpid(pid, &status, 0), pid);
    }
    over = true;
    starter.join();
    server.join();
    EXPECT_EQ(status, 0);
  });
  CHECK(parent.wait() == 0);
}

TEST_CASE("a forked child may use its copy of the manager, and ends no server", "[managers]") {
  const watchdog dog;
  const std::string name = unique_name("copy");
  const nothing_left check(name);
  const life_directory directory;
  std::optional<shared_memory_manager> m(std::in_place);
  m->start(directory.options());
  m->shared_memory(100, name + "-parent");
  child user([&] {
    m->shared_memory(100, name + "-child");
    EXPECT_EQ(m->list_segments().size(), 2u);
    m.reset();
  });
  CHECK(user.wait() == 0);
  CHECK(m->list_segments() == std::vector{name + "-parent", name + "-child"});
  child mover([&] {
    *m = shared_memory_manager();
    EXPECT(!m->is_connected());
  });
  CHECK(mover.wait() == 0);
  std::vector<child> many;  // all with the same inherited connection
  for (int i = 0; i != 4; ++i) {
    many.emplace_back([&, i] {
      for (int j = 0; j != 10; ++j) m->shared_memory(100, name + std::to_string(10 * i + j));
    });
  }
  for (int j = 0; j != 10; ++j) CHECK(m->list_segments().size() >= 2);
  for (child& c : many) CHECK(c.wait() == 0);
  CHECK(m->list_segments().size() == 42);
  child starts_another([&] {
    *m = shared_memory_manager();
    m->start(directory.options());
    m->shared_memory(100, name + "-another");
    EXPECT_EQ(m->list_segments().size(), 1u);
    m.reset();
  });
  CHECK(starts_another.wait() == 0);
  CHECK_FALSE(exists(name + "-another"));
  CHECK(m->list_segments().size() == 42);
  child shuts_down([&] { m->shutdown(); });  // an explicit shutdown does end it
  CHECK(shuts_down.wait() == 0);
  CHECK(files_of(name) == 0);
}
