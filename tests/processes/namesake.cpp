// A channel that is removed while another one is made under its name: the new one keeps its name and its
// bells.
#include "segment_file.hpp"
#include "traffic.hpp"

#include <chrono>
#include <fstream>

#include <sys/ptrace.h>
#include <sys/syscall.h>
#include <sys/uio.h>
#include <sys/wait.h>

using namespace belfry;
using namespace belfry::test;

namespace {

/// A child that stops just before it removes this file.
class remover {
 public:
  remover(const std::string& path, const std::function<void()>& body)
      : child_([=] {
          EXPECT_EQ(::ptrace(PTRACE_TRACEME, 0, nullptr, nullptr), 0L);
          ::raise(SIGSTOP);
          body();
        }) {
    const pid_t pid = child_.pid();
    wait(pid);
    REQUIRE(::ptrace(PTRACE_SETOPTIONS, pid, nullptr, PTRACE_O_TRACESYSGOOD) == 0);
    do {
      REQUIRE(::ptrace(PTRACE_SYSCALL, pid, nullptr, nullptr) == 0);
      wait(pid);
    } while (about_to_remove() != path);
  }
  void go_on() {
    REQUIRE(::ptrace(PTRACE_DETACH, child_.pid(), nullptr, nullptr) == 0);
    CHECK(child_.wait() == 0);
  }

 private:
  static void wait(pid_t pid) {
    int status = 0;
    REQUIRE(::waitpid(pid, &status, 0) == pid);
    REQUIRE(WIFSTOPPED(status));
  }
  std::string about_to_remove() const {
    __ptrace_syscall_info info{};
    if (::ptrace(PTRACE_GET_SYSCALL_INFO, child_.pid(), sizeof info, &info) <= 0 ||
        info.op != PTRACE_SYSCALL_INFO_ENTRY) {
      return {};
    }
    std::uint64_t at = 0;
    if (info.entry.nr == SYS_unlinkat) at = info.entry.args[1];
#if defined(SYS_unlink)
    if (info.entry.nr == SYS_unlink) at = info.entry.args[0];
#endif
    std::string path(256, '\0');
    const iovec here{path.data(), path.size()};
    const iovec there{reinterpret_cast<void*>(static_cast<std::uintptr_t>(at)), path.size()};
    // (As much of it as is mapped.)
    if (at == 0 || ::process_vm_readv(child_.pid(), &here, 1, &there, 1, 0) <= 0) return {};
    return path.c_str();
  }

  child child_;
};

bool is_asleep(const child& c) {
  std::ifstream file("/proc/" + std::to_string(c.pid()) + "/stat");
  std::string line;
  std::getline(file, line);
  return line.find(") S ") != line.npos;
}

}  // namespace

TEST_CASE("the last participant does not remove the name of a channel made meanwhile", "[namesake]") {
  const watchdog dog;
  const std::string name = unique_name("name");
  const nothing_left check(name);
  remover last(path_of(name), [&] {
    net::io_context io;
    const values::producer tx(io, name);
  });
  const event begun;
  const event look;
  const shared<std::atomic<bool>> made;
  child another([&] {
    begun.set();
    error_code ignored;
    const auto began = std::chrono::steady_clock::now();
    values::unlink(name, ignored);
    const bool waited_for_long = std::chrono::steady_clock::now() - began > std::chrono::milliseconds(700);
    net::io_context io;
    const values::producer tx(io, name);
    *made = true;
    look.wait();
    if (waited_for_long) return;  // unlink() does not wait for ever for a process that does not run
    EXPECT_EQ(files_of(name), std::size_t{2});
    const segment_file file(name);  // the name now belongs to this one
    EXPECT(file.live(layout::role::producer));
  });
  begun.wait();
  await([&] { return *made || is_asleep(another); });  // it waits for the process that is removing the old one
  last.go_on();
  await([&] { return made->load(); });
  look.set();
  CHECK(another.wait() == 0);
}

TEST_CASE("an unlink does not remove the bells of a channel made meanwhile", "[namesake]") {
  const watchdog dog;
  const std::string name = unique_name("bells");
  const nothing_left check(name);
  {
    net::io_context io;
    values::producer tx(io, name);
    CHECK(tx.try_send(outgoing_value({1, 0}).get()));  // so that the segment stays
  }
  REQUIRE(::mkfifo(path_of(name + ".bell.0").c_str(), 0600) == 0);  // left by a dead participant
  remover unlinker(path_of(name + ".bell.0"), [&] { values::unlink(name); });
  const event begun;
  const event look;
  const shared<std::atomic<bool>> joined;
  child newcomer([&] {
    begun.set();
    net::io_context io;
    const values::producer tx(io, name);
    *joined = true;
    look.wait();
    EXPECT_EQ(files_of(name), std::size_t{2});
    EXPECT_EQ(files_of(name + ".bell.0"), std::size_t{1});
  });
  begun.wait();
  await([&] { return *joined || is_asleep(newcomer); });
  unlinker.go_on();
  await([&] { return joined->load(); });
  look.set();
  CHECK(newcomer.wait() == 0);
}
