// Servers, the processes that started them, and their clients: whichever is killed, and whenever, nothing is
// left behind.
#include "../../src/platform/program.hpp"
#include "support/process.hpp"
#include "support/test.hpp"
#include "../../src/platform/block.hpp"
#include "../../src/platform/file.hpp"

#include <belfry/collect_garbage.hpp>
#include <belfry/manager_server.hpp>
#include <belfry/shared_memory_manager.hpp>

#include <algorithm>
#include <atomic>
#include <csignal>
#include <cstdint>
#include <filesystem>
#include <fstream>
#include <limits>
#include <optional>
#include <random>
#include <string>
#include <thread>
#include <vector>

#include <fcntl.h>
#include <sys/wait.h>
#include <unistd.h>

using namespace belfry;
using namespace belfry::test;

namespace {

const std::string life_key = "the key of these lives";

/// A directory for the servers' records; must be empty at the end.
class life_directory {
 public:
  life_directory()
      : path_((std::filesystem::temp_directory_path() / "belfry-test-XXXXXX").string()) {
    REQUIRE(::mkdtemp(path_.data()) != nullptr);
  }
  life_directory(const life_directory&) = delete;
  life_directory& operator=(const life_directory&) = delete;
  ~life_directory() {
    for (const std::string& left : platform::files_in(path_)) UNSCOPED_INFO("left: " << left);
    CHECK(files() == 0);
    std::filesystem::remove_all(path_);
  }

  const std::string& path() const { return path_; }
  std::string socket() const { return path_ + "/socket"; }
  std::size_t files() const { return platform::files_in(path_).size(); }
  manager_options options() const {
    manager_options o;
    o.run_directory = path_;
    return o;
  }

 private:
  std::string path_;
};

bool exists(const std::string& name) { return platform::named_block_id(name) != 0; }

// ---- processes ----------------------------------------------------------------------------------------

struct process_state {
  std::string program;
  char state = 'X';  // no such process
  pid_t parent = 0;
};
process_state state_of(const std::string& pid) {
  std::ifstream file("/proc/" + pid + "/stat");
  std::string line;
  std::getline(file, line);  // nothing, if the process ends between open and read
  const std::size_t open = line.find('(');
  const std::size_t close = line.rfind(')');
  if (close == line.npos) return {};
  return {line.substr(open + 1, close - open - 1), line[close + 2],
          static_cast<pid_t>(std::stol(line.substr(close + 4)))};
}

/// Of a server, or of who has to do with one.
bool has_record_or_socket() {
  for (const auto& entry : std::filesystem::directory_iterator("/proc/self/fd")) {
    std::error_code gone;
    const std::string target = std::filesystem::read_symlink(entry.path(), gone).string();
    if (target.find(".record") != target.npos || target.starts_with("socket:")) return true;
  }
  return false;
}

/// Whether it is dead; its parent may not know it yet.
bool has_ended(pid_t pid) {
  const char state = state_of(std::to_string(pid)).state;
  return state == 'X' || state == 'Z';
}

/// Waits with a limit, so that the test can report what is left.
template <class Condition>
bool soon(Condition condition) {
  const auto deadline = std::chrono::steady_clock::now() + std::chrono::seconds(sanitized ? 30 : 5);
  while (!condition()) {
    if (std::chrono::steady_clock::now() > deadline) return false;
    ::usleep(1000);
  }
  return true;
}

/// The servers that a process has started.
std::vector<pid_t> servers_of(pid_t parent) {
  std::vector<pid_t> found;
  for (const std::string& pid : platform::files_in("/proc")) {
    if (pid.find_first_not_of("0123456789") != pid.npos) continue;
    const process_state s = state_of(pid);
    if (s.parent == parent && s.program == "belfry" && s.state != 'Z')
      found.push_back(static_cast<pid_t>(std::stol(pid)));
  }
  return found;
}
pid_t server_of(pid_t parent) {
  const std::vector<pid_t> found = servers_of(parent);
  EXPECT_EQ(found.size(), 1u);
  return found.front();
}

/// The program `belfry`, as a shell would start it.
child tool(std::vector<std::string> arguments) {
  return child([arguments = std::move(arguments)] {
    ::setenv("BELFRY_AUTHKEY", life_key.c_str(), 1);
    ::dup2(::open("/dev/null", O_WRONLY | O_CLOEXEC), 1);
    const std::string program = platform::belfry_program();
    std::vector<char*> argv{const_cast<char*>("belfry")};
    for (const std::string& a : arguments) argv.push_back(const_cast<char*>(a.c_str()));
    argv.push_back(nullptr);
    ::execvp(program.c_str(), argv.data());
    EXPECT(!"exec");
  });
}

/// A `belfry serve` that accepts connections.
child serve(const life_directory& d, const std::vector<std::string>& more = {}) {
  std::vector<std::string> arguments{"serve", "--run-directory", d.path(), "--address", d.socket()};
  arguments.insert(arguments.end(), more.begin(), more.end());
  child server = tool(std::move(arguments));
  await([&] {
    error_code ec;
    shared_memory_manager::connect(d.socket(), life_key, {}, ec);
    return !ec;
  });
  return server;
}
shared_memory_manager client_of(const life_directory& d) {
  return shared_memory_manager::connect(d.socket(), life_key);
}

enum class collector { library, program };
void collect(const life_directory& d, collector who = collector::library) {
  if (who == collector::program) {
    CHECK(tool({"gc", "--run-directory", d.path()}).wait() == 0);
    return;
  }
  error_code ec;
  collect_garbage({}, d.path(), ec);
  CHECK_FALSE(ec);
}

/// A process that has started a server, calls `then`, and sleeps until it is killed.
class starter {
 public:
  explicit starter(const life_directory& d,
                   const std::function<void(shared_memory_manager&)>& then = {})
      : child_([&] {
          shared_memory_manager m;
          m.start(d.socket(), life_key, d.options());
          *server_ = server_of(::getpid());
          if (then) then(m);
          ready_.set();
          for (;;) ::pause();
        }) {
    ready_.wait();
  }
  pid_t server() const { return *server_; }
  child& process() { return child_; }

 private:
  event ready_;
  shared<pid_t> server_;
  child child_;
};

/// A client that makes blocks, and releases every other one, until it is killed.
void make_blocks(shared_memory_manager m, const std::string& name) {
  const std::string mine = name + '-' + std::to_string(::getpid()) + '-';
  for (int i = 0;; ++i) {
    const auto block = m.shared_memory(100, mine + std::to_string(i));
    if (i % 4 == 0) m.shareable_list({i, "text"}, mine + "list-" + std::to_string(i));
    if (i % 2 == 0) m.release(block);
  }
}

}  // namespace

// ---- without kills ---------------------------------------------------------------------------------------

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

// ---- the starter is killed ----------------------------------------------------------------------------

TEST_CASE("a server ends with the process that started it", "[managers]") {
  const watchdog dog;
  const std::string name = unique_name("starter");
  const nothing_left check(name);
  const life_directory directory;
  starter s(directory, [&](shared_memory_manager& m) {
    m.shared_memory(100, name + "-a");
    m.shareable_list({1}, name + "-b");
  });
  CHECK(files_of(name) == 2);
  s.process().kill();
  CHECK(soon([&] { return has_ended(s.server()); }));
  CHECK(files_of(name) == 0);
  CHECK(directory.files() == 0);
}

TEST_CASE("a starter is killed at any moment", "[managers]") {
  const watchdog dog;
  const std::string name = unique_name("moment");
  const nothing_left check(name);
  const life_directory directory;
  std::mt19937 random(1);
  for (int round = 0; round != (sanitized ? 10 : 40); ++round) {
    child c([&] {
      shared_memory_manager m;
      m.start(directory.options());
      make_blocks(std::move(m), name);
    });
    ::usleep(random() % 30'000);
    c.kill();
  }
  // Servers that have just started need a moment to notice.
  CHECK(soon([&] { return files_of(name) == 0; }));
  CHECK(soon([&] { return directory.files() == 0; }));
  collect(directory);
}

TEST_CASE("a surviving fork of the starter does not keep the server alive", "[managers]") {
  const watchdog dog;
  const std::string name = unique_name("fork");
  const nothing_left check(name);
  const life_directory directory;
  const shared<pid_t> grandchild;
  starter s(directory, [&](shared_memory_manager& m) {
    m.shared_memory(100, name);
    const pid_t pid = ::fork();
    if (pid == 0) {
      ::alarm(60);
      for (;;) ::pause();
    }
    *grandchild = pid;
  });
  s.process().kill();
  CHECK(soon([&] { return has_ended(s.server()); }));
  CHECK(files_of(name) == 0);
  CHECK(directory.files() == 0);
  REQUIRE(*grandchild > 0);
  CHECK_FALSE(has_ended(*grandchild));
  CHECK(::kill(*grandchild, SIGKILL) == 0);
}

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

// ---- the server is killed -------------------------------------------------------------------------------

TEST_CASE("a killed server is cleaned up after", "[managers]") {
  const watchdog dog;
  const std::string name = unique_name("gc");
  const nothing_left check(name);
  const life_directory directory;
  const collector who = GENERATE(collector::library, collector::program);
  child server = serve(directory);
  {
    shared_memory_manager m = client_of(directory);
    for (int i = 0; i != 5; ++i) m.shared_memory(100, name + std::to_string(i));
    m.shareable_list({1, 2}, name + "-list");
    m.release(name + "3");
  }
  SECTION("a living server is not affected") {
    collect(directory, who);
    CHECK(files_of(name) == 5);
    CHECK(client_of(directory).list_segments().size() == 5);
  }
  SECTION("another program's block of the same name is not removed") {
    shared_memory::unlink(name + "1");
    const auto filler = shared_memory::create(name + "-filler", 100);  // may have got the inode
    shared_memory::unlink(name + "-filler");
    shared_memory::create(name + "1", 100);
    server.kill();
    collect(directory, who);
    CHECK(files_of(name) == 1);
    shared_memory::unlink(name + "1");
  }
  server.kill();
  collect(directory, who);
  CHECK(files_of(name) == 0);
  CHECK(directory.files() == 0);
  collect(directory, who);
}

TEST_CASE("gc with nothing to clean up", "[managers]") {
  const watchdog dog;
  const life_directory directory;
  for (const std::string& where : {directory.path(), directory.path() + "/nowhere"}) {
    CHECK(tool({"gc", "--run-directory", where}).wait() == 0);
  }
}

TEST_CASE("a block that is still in use is removed by the next cleaning", "[managers]") {
  const watchdog dog;
  const std::string name = unique_name("used");
  const nothing_left check(name);
  const life_directory directory;
  const collector who = GENERATE(collector::library, collector::program);
  const auto a = GENERATE(access::read_write, access::read_only);
  child server = serve(directory);
  client_of(directory).shared_memory(100, name + "-unused");
  client_of(directory).shared_memory(100, name + "-used");
  const event opened;
  const event done;
  child user([&] {
    const auto block = shared_memory::open(name + "-used", a);
    opened.set();
    done.wait();
  });
  opened.wait();
  server.kill();
  for (int i = 0; i != 2; ++i) {
    collect(directory, who);
    CHECK_FALSE(exists(name + "-unused"));
    CHECK(exists(name + "-used"));
    CHECK(directory.files() > 0);
  }
  SECTION("its user ends") {
    done.set();
    CHECK(user.wait() == 0);
  }
  SECTION("its user is killed") { user.kill(); }
  collect(directory, who);
  CHECK(files_of(name) == 0);
  CHECK(directory.files() == 0);
}

TEST_CASE("a new server at the address takes over the blocks that are in use", "[managers]") {
  const watchdog dog;
  const std::string name = unique_name("successor");
  const nothing_left check(name);
  const life_directory directory;
  child server = serve(directory);
  shared_memory_manager m = client_of(directory);
  auto used = m.shared_memory(100, name + "-used");
  m.shared_memory(100, name + "-unused");
  for (int generation = 0; generation != 3; ++generation) {
    server.kill();
    server = serve(directory);
    CHECK_FALSE(exists(name + "-unused"));
    CHECK(exists(name + "-used"));
    CHECK(m.list_segments() == std::vector{name + "-used"});  // over its old connection
    m.shared_memory(100, name + "-unused");
  }
  SECTION("and removes them at its end") { m.shutdown(); }
  SECTION("until no process uses them") {
    used.close();
    server.kill();
    server = serve(directory);
    CHECK(m.list_segments().empty());
    CHECK(files_of(name) == 0);
    m.shutdown();
  }
  CHECK(server.wait() == 0);
}

TEST_CASE("a starter cleans up after its server", "[managers]") {
  const watchdog dog;
  const std::string name = unique_name("raii");
  const nothing_left check(name);
  const life_directory directory;
  const bool given = GENERATE(true, false);
  shared_memory_manager m;
  const auto start = [&] {
    m.start(given ? directory.socket() : std::string(), life_key, directory.options());
  };
  start();
  const auto block = m.shared_memory(100, name + "-open");
  m.shared_memory(100, name + "-unused");
  const pid_t server = server_of(::getpid());
  REQUIRE(::kill(server, SIGKILL) == 0);
  CHECK(soon([&] { return has_ended(server); }));
  CHECK(files_of(name) == 2);
  const auto clean = [&] {
    CHECK(files_of(name) == 0);
    CHECK(directory.files() == 0);
  };
  SECTION("in its destructor") {}
  SECTION("when it is assigned to") {
    m = shared_memory_manager();
    clean();
  }
  SECTION("when shutdown() is called") {
    m.shutdown();
    clean();
    start();
    CHECK(m.list_segments().empty());
    m.shared_memory(100, name + "-again");
  }
  SECTION("after it has noticed the death") {
    error_code ec;
    m.shared_memory(100, name + "-late", ec);
    CHECK(ec);
    m.list_segments(ec);
    CHECK(ec);
  }
}

TEST_CASE("all processes are killed at once", "[managers]") {
  const watchdog dog;
  const std::string name = unique_name("everybody");
  const nothing_left check(name);
  const life_directory directory;
  const collector who = GENERATE(collector::library, collector::program);
  starter s(directory, [&](shared_memory_manager& m) { m.shared_memory(100, name + "-a"); });
  const event ready;
  child client([&] {
    const auto a = shared_memory::open(name + "-a");
    const auto b = client_of(directory).shared_memory(100, name + "-b");
    ready.set();
    for (;;) ::pause();
  });
  ready.wait();
  CHECK(::kill(s.server(), SIGKILL) == 0);
  s.process().kill();
  client.kill();
  CHECK(soon([&] { return has_ended(s.server()); }));
  CHECK(files_of(name) == 2);
  collect(directory, who);
}

// ---- kills at any moment --------------------------------------------------------------------------------

TEST_CASE("clients are killed at any moment", "[managers]") {
  const watchdog dog;
  const std::string name = unique_name("clients");
  const nothing_left check(name);
  const life_directory directory;
  shared_memory_manager m;
  m.start(directory.socket(), life_key, directory.options());
  std::mt19937 random(2);
  for (int round = 0; round != (sanitized ? 20 : 600); ++round) {
    child client([&] { make_blocks(client_of(directory), name); });
    ::usleep(random() % 6000);
    client.kill();
  }
  // A block that has a name is known to the server; a known block need not have a name.
  const std::vector<std::string> known = m.list_segments();
  CHECK(files_of(name) > 0);
  CHECK(known.size() >= files_of(name));
  CHECK(static_cast<std::size_t>(std::count_if(known.begin(), known.end(), exists)) ==
        files_of(name));
  m.shutdown();
}

TEST_CASE("all processes are killed at any moment", "[managers]") {
  const watchdog dog;
  const std::string name = unique_name("all");
  const nothing_left check(name);
  const life_directory directory;
  std::mt19937 random(3);
  for (int round = 0; round != (sanitized ? 5 : 25); ++round) {
    std::vector<child> processes;
    processes.emplace_back([&] {
      shared_memory_manager m;
      error_code ec;  // its server may be killed before it can be reached
      m.start(directory.socket(), life_key, directory.options(), ec);
      for (;;) ::pause();
    });
    for (int i = 0; i != 2; ++i) {
      processes.emplace_back([&] {
        await([&] {
          error_code ec;
          const auto probe = shared_memory_manager::connect(directory.socket(), life_key, {}, ec);
          return !ec;
        });
        try {
          make_blocks(client_of(directory), name);
        } catch (const std::system_error&) {
          for (;;) ::pause();  // its server was killed before
        }
      });
    }
    ::usleep(random() % 40'000);
    for (const pid_t server : servers_of(processes.front().pid())) ::kill(server, SIGKILL);
    std::shuffle(processes.begin(), processes.end(), random);
    processes.clear();
    if (round % 3 == 0) continue;  // also several times without a cleaning in between
    REQUIRE(soon([&] {             // a server that had just started ends itself
      collect(directory);
      return files_of(name) == 0 && directory.files() == 0;
    }));
  }
  CHECK(soon([&] {
    collect(directory);
    return files_of(name) == 0 && directory.files() == 0;
  }));
}
