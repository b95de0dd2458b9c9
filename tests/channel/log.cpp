// What set_log() is told, and what BELFRY_LOG prints.
#include "processes/sandbox.hpp"
#include "support/process.hpp"
#include "support/rings.hpp"

#include <belfry/log.hpp>

#include <algorithm>
#include <csignal>
#include <fstream>
#include <mutex>
#include <sstream>

#include <unistd.h>

using namespace belfry;
using namespace belfry::test;

namespace {

using meet_values = meet<of_values::channel>;

/// Collects entries as print_log() would print them.
class collector {
 public:
  collector() : before_(set_log(&collector::add)) { lines().clear(); }
  ~collector() { set_log(before_); }
  collector(const collector&) = delete;
  collector& operator=(const collector&) = delete;

  /// How many entries of this level and event have these fields, in this order.
  static std::size_t count(const std::string& wanted) {
    return static_cast<std::size_t>(std::ranges::count_if(
        lines(), [&](const std::string& line) { return line.starts_with(wanted); }));
  }
  static std::string all() {
    std::string text;
    for (const std::string& line : lines()) text += line + '\n';
    return text;
  }

 private:
  static std::vector<std::string>& lines() {
    static std::vector<std::string> all;
    return all;
  }
  static void add(const log_entry& e) noexcept {
    std::string line(e.event);
    for (const log_field& f : e.fields) line += ' ' + std::string(f.key) + '=' + std::string(f.value);
    lines().push_back(line);
  }

  log_function before_;
};

}  // namespace

TEST_CASE("a log is told of joins, refusals, deaths and leaves", "[log]") {
  const std::string name = unique_name("told");
  net::io_context io;
  const collector log;
  {
    auto rx = meet_values::consumer(io, name);
    INFO(log.all());
    CHECK(log.count("joined role=consumer slot=1") == 1);
    error_code ec;
    auto second = meet_values::consumer(io, name, {}, ec);
    CHECK(ec == errc::role_taken);
    CHECK(log.count("refused error=") == 1);
    child producer([&] {
      net::io_context own;
      auto tx = meet_values::producer(own, name);
      ::raise(SIGKILL);
    });
    const std::string pid = std::to_string(producer.pid());
    CHECK(producer.wait() == 128 + SIGKILL);
    tick t{};
    CHECK(rx.receive(t, std::chrono::seconds(60)) == errc::peer_died);
    CHECK(log.count("died role=producer slot=0 pid=" + pid) == 1);
  }
  INFO(log.all());
  CHECK(log.count("left role=consumer slot=1") == 1);
  if (way_to_meet() == meeting::by_name) {
    CHECK(log.count("created bytes=") == 1);
    CHECK(log.count("removed") == 1);
  }
  meet_values::forget(name);
}

TEST_CASE("a log is told of corrupted memory", "[log]") {
  if (way_to_meet() != meeting::by_name) return;  // there is no file to overwrite
  linked<of_bytes> c("corrupted");
  const collector log;
  const shared_memory raw = shared_memory::open(c.name);
  std::byte* const bytes = const_cast<std::byte*>(std::as_const(raw).buf().data());
  const std::uint64_t offset = reinterpret_cast<const layout::identity*>(bytes)->ring_offset;
  *reinterpret_cast<std::uint64_t*>(bytes + offset) = 4;
  message m;
  CHECK(c.rx.receive(m, std::chrono::seconds(60)) == errc::corrupted);
  INFO(log.all());
  CHECK(log.count("corrupted role=consumer slot=1") == 1);
}

TEST_CASE("a printed entry is one line, whatever the name is", "[log]") {
  const std::string path = "/tmp/" + unique_name("printed");
  child prints([&] {
    REQUIRE(std::freopen(path.c_str(), "w", stderr) != nullptr);
    const log_field fields[] = {{"slot", "1"}, {"text", "a\nb"}};
    print_log({log_level::warning, "refused", "na\nme\x1b", fields});
    print_log({log_level::debug, "joined", "", {}});
    std::fflush(stderr);
  });
  CHECK(prints.wait() == 0);
  std::ifstream file(path);
  std::stringstream text;
  text << file.rdbuf();
  CHECK(text.str() == "belfry: warning: refused na?me? slot=1 text=a?b\nbelfry: debug: joined (without a name)\n");
  ::unlink(path.c_str());
}

TEST_CASE("a printed entry has the name of a channel as it is, if it is UTF-8", "[log]") {
  const std::string path = "/tmp/" + unique_name("utf8");
  child prints([&] {
    REQUIRE(std::freopen(path.c_str(), "w", stderr) != nullptr);
    print_log({log_level::debug, "joined", "gr\u00f6\u00dfe", {}});
    std::fflush(stderr);
  });
  CHECK(prints.wait() == 0);
  std::ifstream file(path);
  std::stringstream text;
  text << file.rdbuf();
  CHECK(text.str() == "belfry: debug: joined gr\u00f6\u00dfe\n");
  ::unlink(path.c_str());
}

TEST_CASE("a log is told of a manager's refusal", "[log]") {
  if (way_to_meet() != meeting::by_manager) return;
  net::io_context io;
  const std::string name = unique_name("refusal");
  using meet_bytes = meet<of_bytes::channel>;
  auto rx = meet_bytes::consumer(io, name, of_bytes::options());
  channel_options larger;
  larger.capacity = 1 << 20;
  const collector log;
  error_code ec;
  auto tx = meet_bytes::producer(io, name, larger, ec);
  CHECK(ec == errc::incompatible);
  INFO(log.all());
  CHECK(log.count("refused error=") == 1);
  meet_bytes::forget(name);
}

TEST_CASE("a log is told of a refusal by the reactor", "[log]") {
  if (way_to_meet() != meeting::by_name) return;
  child refused([&] {
    net::io_context io;
    net::steady_timer reactor(io);
    const collector log;
    const std::string name = unique_name("reactor");
    test::refuse(SYS_epoll_ctl, ENOMEM);
    error_code ec;
    of_values::channel::consumer rx(io, name, ec);
    EXPECT_EQ(ec.value(), ENOMEM);
    EXPECT_EQ(log.count("refused error="), std::size_t{1});
  });
  CHECK(refused.wait() == 0);
}
