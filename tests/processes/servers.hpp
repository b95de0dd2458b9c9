// Servers of managers and the processes that have started them.
#pragma once

#include "../../src/platform/block.hpp"
#include "../../src/platform/file.hpp"
#include "../../src/platform/program.hpp"
#include "support/process.hpp"
#include "support/test.hpp"

#include <belfry/collect_garbage.hpp>
#include <belfry/shared_memory_manager.hpp>

#include <cerrno>
#include <chrono>
#include <filesystem>
#include <fstream>
#include <functional>
#include <string>
#include <vector>

#include <fcntl.h>
#include <sys/prctl.h>
#include <sys/wait.h>
#include <unistd.h>

namespace belfry::test {

inline const std::string life_key = "the key of these lives";

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

inline bool exists(const std::string& name) { return platform::named_block_id(name) != 0; }

// ---- processes ----------------------------------------------------------------------------------------

struct process_state {
  std::string program;
  char state = 'X';  // no such process
  pid_t parent = 0;
};
inline process_state state_of(const std::string& pid) {
  std::ifstream file("/proc/" + pid + "/stat");
  std::string line;
  std::getline(file, line);  // nothing, if the process ends between open and read
  const std::size_t open = line.find('(');
  const std::size_t close = line.rfind(')');
  if (close == line.npos) return {};
  return {line.substr(open + 1, close - open - 1), line[close + 2],
          static_cast<pid_t>(std::stol(line.substr(close + 4)))};
}

/// Whether it is dead; its parent may not know it yet.
inline bool has_ended(pid_t pid) {
  const char state = state_of(std::to_string(pid)).state;
  return state == 'X' || state == 'Z';
}

/// Adopts processes whose parents are killed, to wait for their end: a process may be killed between its fork
/// and its server's first step.
class adopted_orphans {
 public:
  adopted_orphans() { REQUIRE(::prctl(PR_SET_CHILD_SUBREAPER, 1) == 0); }
  adopted_orphans(const adopted_orphans&) = delete;
  adopted_orphans& operator=(const adopted_orphans&) = delete;
  ~adopted_orphans() { ::prctl(PR_SET_CHILD_SUBREAPER, 0); }

  /// Until this process has no child left.
  void wait() const {
    while (::waitpid(-1, nullptr, 0) > 0 || errno == EINTR) {
    }
  }
};

/// Waits with a limit, so that the test can report what is left.
template <class Condition>
bool soon(Condition condition) {
  const auto deadline = std::chrono::steady_clock::now() + std::chrono::seconds(60);
  while (!condition()) {
    if (std::chrono::steady_clock::now() > deadline) return false;
    ::usleep(1000);
  }
  return true;
}

/// The servers that a process has started.
inline std::vector<pid_t> servers_of(pid_t parent) {
  std::vector<pid_t> found;
  for (const std::string& pid : platform::files_in("/proc")) {
    if (pid.find_first_not_of("0123456789") != pid.npos) continue;
    const process_state s = state_of(pid);
    if (s.parent == parent && s.program == "belfry" && s.state != 'Z')
      found.push_back(static_cast<pid_t>(std::stol(pid)));
  }
  return found;
}
inline pid_t server_of(pid_t parent) {
  const std::vector<pid_t> found = servers_of(parent);
  EXPECT_EQ(found.size(), 1u);
  return found.front();
}

/// The program `belfry`, as a shell would start it.
inline child tool(std::vector<std::string> arguments) {
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
inline child serve(const life_directory& d, const std::vector<std::string>& more = {}) {
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
inline shared_memory_manager client_of(const life_directory& d) {
  return shared_memory_manager::connect(d.socket(), life_key);
}

/// A name, so that only the records are looked at: other tests need what their killed processes have left.
inline const std::string no_channel = unique_name("no-channel");

enum class collector { library, program };
inline void collect(const life_directory& d, collector who = collector::library) {
  if (who == collector::program) {
    CHECK(tool({"gc", "--run-directory", d.path(), no_channel}).wait() == 0);
    return;
  }
  error_code ec;
  collect_garbage({.run_directory = d.path(), .names = {no_channel}}, ec);
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

}  // namespace belfry::test
