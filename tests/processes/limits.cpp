// What the system, a sandbox or a limit refuses is an error, in time, without a signal, and leaves nothing
// behind.
#include "sandbox.hpp"
#include "segment_file.hpp"
#include "traffic.hpp"

#include <csignal>
#include <thread>

#include <sys/resource.h>
#include <unistd.h>

using namespace belfry;
using namespace belfry::test;

namespace {

volatile sig_atomic_t xfsz_seen = 0;
void see_xfsz(int) { xfsz_seen = xfsz_seen + 1; }

void limit(int what, rlim_t most) {
  const rlimit l{most, most};
  EXPECT_EQ(::setrlimit(static_cast<__rlimit_resource>(what), &l), 0);
}

template <class Channel>
error_code open(const std::string& name, const channel_options& o = options<Channel>()) {
  net::io_context io;
  error_code ec;
  const typename Channel::producer tx(io, name, o, ec);
  EXPECT_EQ(tx.is_open(), !ec);
  return ec;
}

error_code open_with(const std::string& name, lifetime l) {
  channel_options o;
  o.lifetime = l;
  return open<values>(name, o);
}

}  // namespace

// ---- the size of a file ---------------------------------------------------------------------------------

TEST_CASE("more than `ulimit -f` allows is an error, not a signal", "[limits]") {
  const watchdog dog;
  const std::string name = unique_name("fsize");
  const nothing_left check(name);
  const auto disposition = GENERATE(SIG_DFL, SIG_IGN, &see_xfsz);
  const bool blocked = GENERATE(false, true);
  child c([&] {
    ::signal(SIGXFSZ, disposition);
    sigset_t set;
    ::sigemptyset(&set);
    ::sigaddset(&set, SIGXFSZ);
    if (blocked) ::pthread_sigmask(SIG_BLOCK, &set, nullptr);
    limit(RLIMIT_FSIZE, 2048);
    error_code ec;
    EXPECT(!shared_memory::create(name, 100'000, ec).is_open());
    EXPECT(ec == std::errc::file_too_large);
    EXPECT(open<values>(name) == std::errc::file_too_large);
    EXPECT(open<frames>(name) == std::errc::file_too_large);
    EXPECT(error_of([] { values::make_handles(); }) == std::errc::file_too_large);
    EXPECT_EQ(files_of(name), std::size_t{0});
    EXPECT_EQ(static_cast<int>(xfsz_seen), 0);
    sigset_t pending;
    ::sigpending(&pending);
    EXPECT_EQ(::sigismember(&pending, SIGXFSZ), 0);
    sigset_t now;
    ::pthread_sigmask(SIG_SETMASK, nullptr, &now);
    EXPECT_EQ(::sigismember(&now, SIGXFSZ), blocked ? 1 : 0);
  });
  CHECK(c.wait() == 0);
}

TEST_CASE("a manager whose record may not grow reports that, and continues", "[limits]") {
  const watchdog dog;
  child c([&] {
    net::io_context io;
    manager_server server(io, "", "key");
    // Its record already has some bytes, and a name takes some more.
    limit(RLIMIT_FSIZE, 1);
    bool refused = false;
    shared_memory_manager client(io);
    client.async_connect(server.address(), "key", [&](error_code ec) {
      EXPECT_EQ(ec, error_code());
      client.async_shared_memory(1, [&](error_code why, shared_memory) {
        EXPECT(why);
        refused = true;
      });
    });
    while (!refused) io.run_one();
  });
  CHECK(c.wait() == 0);
}

// ---- signals that interrupt, system calls that are refused
// --------------------------------------------------

TEST_CASE("an interrupted allocation continues", "[limits]") {
  const watchdog dog(std::chrono::seconds(60));
  const std::string name = unique_name("interrupted");
  const nothing_left check(name);
  // As if a signal came before a mebibyte is allocated, again and again.
  child c([&] {
    ::alarm(120);
    refuse_larger(SYS_fallocate, 3, GENERATE(1u << 20, 5000u), EINTR);
    shared_memory block = shared_memory::create(name, (20 << 20) + 1);
    EXPECT_EQ(block.size(), std::size_t{(20 << 20) + 1});
    struct stat status {};
    EXPECT_EQ(::fstat(block.native_handle(), &status), 0);
    EXPECT(status.st_blocks >= (20 << 11));  // all of it is allocated
    block.unlink();
  });
  CHECK(c.wait() == 0);
}

TEST_CASE("without the system call for random bytes there is the device", "[limits]") {
  const watchdog dog(std::chrono::seconds(60));
  const std::string name = unique_name("random");
  const nothing_left check(name);
  const int error = GENERATE(ENOSYS, EPERM);
  child c([&] {
    ::alarm(120);
    refuse(SYS_getrandom, error);
    EXPECT_EQ(open<values>(name), error_code());
    const shared_memory a = shared_memory::create({}, 1);
    const shared_memory b = shared_memory::create({}, 1);
    EXPECT(a.name() != b.name());
    shared_memory::unlink(a.name());
    shared_memory::unlink(b.name());
  });
  CHECK(c.wait() == 0);
}

TEST_CASE("without any random bytes there is an error", "[limits]") {
  const watchdog dog(std::chrono::seconds(60));
  const std::string name = unique_name("no-random");
  const nothing_left check(name);
  child c([&] {
    ::alarm(120);
    limit(RLIMIT_NOFILE, 64);
    refuse(SYS_getrandom, ENOSYS);
    EXPECT_EQ(open<values>(name), error_code());
    std::vector<int> taken;  // all except the block's own
    for (int fd; (fd = ::dup(2)) != -1;) taken.push_back(fd);
    ::close(taken.back());
    detail::failure f;
    detail::segment::create_or_open(name, values::ring_type::traits, {}, f);
    EXPECT(f.code == std::errc::too_many_files_open);
    EXPECT_EQ(files_of(name), std::size_t{0});
  });
  CHECK(c.wait() == 0);
}

// ---- a main thread that has ended -----------------------------------------------------------------------------

TEMPLATE_TEST_CASE("a program continues after its main thread has ended", "[limits]", values, frames) {
  const watchdog dog;
  const std::string name = unique_name("main");
  const nothing_left check(name);
  child c([&] {
    std::thread([name] {
      const auto with = [&](auto&&... where) {
        net::io_context io;
        typename TestType::producer tx(io, where..., options<TestType>());
        typename TestType::consumer rx(io, where..., options<TestType>());
        EXPECT(tx.try_send(outgoing<TestType>({1, 7}).get()));
        EXPECT(read(*rx.try_receive()) == (item{1, 7}));
      };
      int status = 1;
      try {
        await([] { return ::access("/proc/self/fd/2", F_OK) != 0; });
        with(name);
        with(TestType::make_handles(options<TestType>()));
        shared_memory block = shared_memory::create(name, 10);
        block.txn()[0] = 1;
        block.unlink();
        block.close();
        status = 0;
      } catch (const std::exception& e) {
        std::fprintf(stderr, "%s\n", e.what());
      }
      ::_exit(status);
    }).detach();
    ::syscall(SYS_exit, 0);  // like pthread_exit(), which would also unwind the test
  });
  CHECK(c.wait() == 0);
}

// ---- what stays after an error: nothing --------------------------------------------------------------------------

TEST_CASE("a setup that runs out of descriptors leaves nothing behind", "[limits]") {
  const watchdog dog;
  const lifetime l = GENERATE(lifetime::drained, lifetime::persistent);
  const std::string name = unique_name("nofile");
  const nothing_left check(name);
  child c([&] {
    {
      net::io_context io;  // so that everything is loaded while there are descriptors
      const values::producer tx(io, name);
    }
    limit(RLIMIT_NOFILE, 64);
    std::vector<int> taken;
    for (int fd; (fd = ::fcntl(2, F_DUPFD_CLOEXEC, 0)) != -1;) taken.push_back(fd);
    int failures = 0;
    for (;; ++failures) {  // each time with one descriptor more
      net::io_context* io = nullptr;
      error_code ec;
      try {
        net::io_context its_own;
        io = &its_own;
        channel_options o;
        o.lifetime = l;
        const values::producer tx(*io, name, o, ec);
        if (tx.is_open()) break;
      } catch (const std::exception&) {  // not even a context could be made
        ec = std::make_error_code(std::errc::too_many_files_open);
      }
      EXPECT_EQ(ec.value(), EMFILE);  // perhaps of Asio's category
      for (const char* const what : {"", ".bell.0"})  // checked without needing a descriptor
        EXPECT(::access(path_of(name + what).c_str(), F_OK) != 0);
      ::close(taken.back());
      taken.pop_back();
    }
    EXPECT(failures > 2);
    error_code ignored;
    values::unlink(name, ignored);
  });
  CHECK(c.wait() == 0);
}

TEST_CASE("a setup that cannot make its bell leaves nothing behind", "[limits]") {
  const watchdog dog;
  const lifetime l = GENERATE(lifetime::drained, lifetime::persistent);
  const std::string name = unique_name("mkfifo");
  const nothing_left check(name);
  child c([&] {
    refuse(SYS_mknodat, EPERM);
    EXPECT(open_with(name, l) == std::errc::operation_not_permitted);
    EXPECT_EQ(files_of(name), std::size_t{0});
  });
  CHECK(c.wait() == 0);
}

TEST_CASE("a newcomer that fails does not remove what others use, or unread messages", "[limits]") {
  const watchdog dog;
  const std::string name = unique_name("others");
  const nothing_left check(name);
  {
    net::io_context io;
    values::producer tx(io, name);
    child c([&] {
      refuse(SYS_mknodat, EPERM);
      net::io_context its_own;
      error_code ec;
      const values::consumer rx(its_own, name, ec);
      EXPECT(ec == std::errc::operation_not_permitted);
      EXPECT_EQ(files_of(name), std::size_t{2});
    });
    CHECK(c.wait() == 0);
    CHECK(tx.try_send(outgoing_value({1, 0}).get()));
  }
  CHECK(files_of(name) == 1);  // the unread message
  child c([&] {
    refuse(SYS_mknodat, EPERM);
    EXPECT(open<values>(name) == std::errc::operation_not_permitted);
    EXPECT_EQ(files_of(name), std::size_t{1});
  });
  CHECK(c.wait() == 0);
  net::io_context io;
  CHECK(values::consumer(io, name).try_receive());
  CHECK(files_of(name) == 0);
}

TEST_CASE("an invalid mode leaves nothing behind", "[limits]") {
  const std::string name = unique_name("mode");
  const nothing_left check(name);
  for (const unsigned mode : {0u, 0200u, 0400u, 0077u, 0066u, 0644u, 0640u, 0604u, 0664u, 0620u, 0602u}) {
    CAPTURE(mode);
    channel_options o;
    o.mode = mode;
    net::io_context io;
    error_code ec;
    const values::producer tx(io, name, o, ec);
    CHECK(ec == std::errc::invalid_argument);
    CHECK(files_of(name) == 0);
  }
  for (const unsigned mode : {0600u, 0660u, 0606u, 0666u, 0700u, 0777u, 07660u}) {
    CAPTURE(mode);
    channel_options o;
    o.mode = mode;
    CHECK_FALSE(open<values>(name, o));
  }
}

// As with too many watches of this user: /proc/sys/fs/epoll/max_user_watches.
TEST_CASE("an error of the reactor is equal to its std::errc", "[limits]") {
  const watchdog dog;
  const std::string name = unique_name("reactor");
  const nothing_left check(name);
  child refused([&] {
    net::io_context io;
    net::steady_timer reactor(io);  // made before it is refused
    refuse(SYS_epoll_ctl, ENOSPC);
    error_code ec;
    const values::consumer rx(io, name, ec);
    EXPECT_EQ(ec, std::errc::no_space_on_device);
  });
  CHECK(refused.wait() == 0);
}
