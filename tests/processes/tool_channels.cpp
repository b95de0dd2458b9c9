// belfry metrics and check: what monitoring systems are told.
#include "abandoned.hpp"
#include "tool.hpp"

#include <belfry/shared_memory.hpp>

#include <algorithm>
#include <fstream>
#include <map>
#include <set>

using namespace belfry;
using namespace belfry::test;

namespace {

/// What a strict reader of OpenMetrics makes of a text: the value of each series. Fails if it is no such text.
std::map<std::string, std::string> series_in(const std::string& text) {
  std::map<std::string, std::string> series;
  std::set<std::string> families;
  std::string family;
  std::string type;
  bool ended = false;
  for (const std::string& line : lines_of(text)) {
    CHECK_FALSE(ended);
    std::istringstream words(line);
    if (line == "# EOF") {
      ended = true;
      continue;
    }
    if (line.starts_with("# TYPE ")) {
      words.ignore(7);
      words >> family >> type;
      CHECK(families.insert(family).second);
      CHECK((type == "counter" || type == "gauge"));
      continue;
    }
    if (line.starts_with("#")) {
      CHECK((line.starts_with("# HELP " + family + ' ') || line == "# UNIT " + family + " bytes"));
      if (line.starts_with("# UNIT")) CHECK(family.ends_with("_bytes"));
      continue;
    }
    const std::string name = family + (type == "counter" ? "_total" : "");
    CHECK(line.starts_with(name));
    // The labels: no quote, backslash or new line that is not escaped.
    std::size_t at = name.size();
    if (line[at] == '{') {
      for (bool quoted = false; quoted || line[at] != '}'; ++at) {
        REQUIRE(at < line.size());
        if (line[at] == '"') quoted = !quoted;
        if (quoted && line[at] == '\\') {
          ++at;
          CHECK((line[at] == 'n' || line[at] == '\\' || line[at] == '"'));
        }
      }
      ++at;
    }
    CHECK(line[at] == ' ');
    CHECK(line.find_first_not_of("0123456789", at + 1) == line.npos);
    CHECK(series.emplace(line.substr(0, at), line.substr(at + 1)).second);
  }
  CHECK(ended);
  CHECK(text.ends_with('\n'));
  return series;
}

/// The line of `belfry check`, and its status.
std::string checked(std::vector<std::string> arguments, int status) {
  arguments.insert(arguments.begin(), "check");
  const outcome o = tool_run(arguments);
  CHECK(o.status == status);
  CHECK(o.err == "");
  const std::vector<std::string> lines = lines_of(o.out);
  CHECK(lines.size() == 1);
  return lines.empty() ? "" : lines.front();
}

}  // namespace

TEST_CASE("belfry metrics is OpenMetrics, whatever the names are", "[tool-channels]") {
  const watchdog limit;
  const std::string name = unique_name("metrics");
  const nothing_left check(name);
  net::io_context io;
  std::vector<std::string> names{name, name + "-\"q\\n\n", name + "-\xff", name + "-\\xff"};
  std::vector<abandoned_values::producer> producers;
  for (const std::string& n : names) producers.emplace_back(io, n);
  abandoned_values::consumer rx(io, name);
  for (std::uint64_t i = 0; i != 5; ++i) REQUIRE(producers[0].try_send({i, 0.5}));
  REQUIRE(rx.try_receive());
  auto block = shared_memory::create(name + "-block", 100);
  const unlink_on_destroy owner(block);

  const outcome o = tool_run({"metrics"});
  CHECK(o.status == 0);
  CHECK(o.err == "");
  const auto series = series_in(o.out);
  const auto value = [&](const std::string& metric, const std::string& more = "") {
    const auto found = series.find(metric + "{channel=\"" + name + "\",kind=\"spsc_ring\"" + more + '}');
    return found == series.end() ? "missing" : found->second;
  };
  CHECK(value("belfry_messages_total", ",direction=\"sent\"") == "5");
  CHECK(value("belfry_messages_total", ",direction=\"received\"") == "1");
  CHECK(value("belfry_bytes_total", ",direction=\"sent\"") == "80");
  CHECK(value("belfry_lost_total", ",direction=\"received\"") == "0");
  CHECK(value("belfry_unread") == "4");
  CHECK(value("belfry_capacity") == "64");
  CHECK(value("belfry_participants", ",role=\"producer\"") == "1");
  CHECK(value("belfry_participants", ",role=\"consumer\"") == "1");
  CHECK(value("belfry_joins_total") == "2");
  CHECK(value("belfry_deaths_total") == "0");
  CHECK(value("belfry_file_bytes") == std::to_string(inspect(name).bytes));
  CHECK(series.contains("belfry_unread{channel=\"" + name + "-\\\"q\\\\n\\n\",kind=\"spsc_ring\"}"));
  CHECK(o.out.find(name + "-block") == std::string::npos);
  while (rx.try_receive()) {
  }
}

TEST_CASE("belfry metrics --output replaces a file in one step", "[tool-channels]") {
  const watchdog limit;
  const std::string directory = "/tmp/" + unique_name("metrics");
  REQUIRE(::mkdir(directory.c_str(), 0700) == 0);
  const std::string file = directory + "/belfry.prom";
  std::ofstream(file) << "old";
  struct stat before {};
  REQUIRE(::stat(file.c_str(), &before) == 0);
  const int old = ::open(file.c_str(), O_RDONLY | O_CLOEXEC);
  const outcome o = tool_run({"metrics", "--output", file});
  CHECK(o.status == 0);
  CHECK(o.out == "");
  CHECK(all_of(old) == "old");  // its reader still has the old one
  std::ifstream in(file);
  series_in({std::istreambuf_iterator<char>(in), {}});
  struct stat after {};
  REQUIRE(::stat(file.c_str(), &after) == 0);
  CHECK((after.st_mode & 0777) == (0666 & ~[] {
          const mode_t mask = ::umask(0);
          ::umask(mask);
          return mask;
        }()));
  CHECK(tool_run({"metrics", "--output", directory}).status == 1);
  CHECK(tool_run({"metrics", "--output", "/dev/null"}).status == 1);
  CHECK(::access("/dev/null", W_OK) == 0);
  CHECK(tool_run({"metrics", "--output", directory + "/none/file"}).status == 1);
  ::unlink(file.c_str());
  CHECK(::rmdir(directory.c_str()) == 0);  // nothing else was left there
}

TEST_CASE("belfry check answers as a monitoring plugin does", "[tool-channels]") {
  const watchdog limit;
  const std::string name = unique_name("check");
  const nothing_left left(name);
  net::io_context io;
  abandoned_values::producer tx(io, name);
  for (std::uint64_t i = 0; i != 48; ++i) REQUIRE(tx.try_send({i, 0.5}));
  const std::string ok = checked({name}, 0);
  CHECK(ok.starts_with("BELFRY OK - " + name + ": 48 of 64 unread (75%), 1 producer, 0 consumers | "));
  CHECK_THAT(ok, contains(" fill=75%;;;0;100 unread=48;;;0;64 producers=1;;;0 consumers=0;;;0 dead=0;0;;0 sent=48c "
                          "received=0c lost=0c deaths=0c"));
  CHECK_THAT(checked({name, "--max-fill", "75", "--producers", "1"}, 0), contains("fill=75%;;75;0;100"));
  CHECK_THAT(checked({name, "--max-fill", "74.5"}, 2), contains("BELFRY CRITICAL - "));
  CHECK_THAT(checked({name, "--warn-fill", "50"}, 1), contains("BELFRY WARNING - "));
  CHECK(checked({name, "--warn-fill", "50", "--max-fill", "60"}, 2) != "");
  CHECK_THAT(checked({name, "--consumers", "1"}, 2), contains(": 0 consumers of 1 | "));
  CHECK_THAT(checked({name, "--consumers", "1"}, 2), contains("consumers=0;;1:;0"));
  CHECK(checked({name, "--producers", "2"}, 2) != "");

  CHECK_THAT(checked({name + "-none"}, 3), contains("BELFRY UNKNOWN - "));
  CHECK_THAT(checked({}, 3), contains("BELFRY UNKNOWN - "));
  CHECK(checked({name, "--nonsense"}, 3) != "");
  CHECK(checked({name, "--max-fill", "many"}, 3) != "");
  CHECK(tool_run({"check", "--help"}).status == 0);
  auto block = shared_memory::create(name + "-block", 100);
  const unlink_on_destroy owner(block);
  CHECK_THAT(checked({name + "-block"}, 3), contains("is no channel, but block"));
  const int other = ::open(("/dev/shm/" + name).c_str(), O_RDWR | O_CLOEXEC);
  struct ::flock lock {};
  lock.l_type = F_WRLCK;
  lock.l_start = layout::roster_lock;
  lock.l_len = 1;
  REQUIRE(::fcntl(other, F_OFD_SETLK, &lock) == 0);
  CHECK_THAT(checked({name}, 1), contains("the roster stays locked"));
  ::close(other);
  CHECK(checked({name}, 0) != "");
  abandoned_values::consumer rx(io, name);
  while (rx.try_receive()) {
  }
}

TEST_CASE("the tool counts calls, and speaks of clients and servers", "[tool-channels]") {
  const watchdog limit;
  const std::string name = unique_name("calls");
  const nothing_left left(name);
  net::io_context io;
  channel_options o;
  o.slots = 8;
  o.message_bytes = 512;
  o.max_deliveries = 3;
  channel<byte_call_ring>::client c(io, name, o);
  const auto pending = c.try_call(std::as_bytes(std::span("request")));
  REQUIRE(pending);
  const outcome stat = tool_run({"stat", name});
  CHECK_THAT(stat.out, contains("ring        8 calls, request and reply of at most 512 bytes each\n"));
  CHECK_THAT(stat.out, contains("calls       1 of 8\n"));
  CHECK_THAT(stat.out, contains("lost        after 3 deliveries\n"));
  CHECK_THAT(stat.out, contains("alive       1 of 32 clients, 0 of 32 servers\n"));
  CHECK_THAT(stat.out, contains("  0     client "));
  CHECK_THAT(stat.out, contains("no server is alive: calls wait for the next one, or end\n"));
  CHECK_THAT(line_about(tool_run({"ls"}).out, name), contains("  1/8  "));
  const std::string ok = checked({name}, 0);
  CHECK(ok.starts_with("BELFRY OK - " + name + ": 1 of 8 calls (12.5%), 1 client, 0 servers | "));
  CHECK_THAT(ok, contains(" unread=1;;;0;8 producers=1;;;0 consumers=0;;;0 "));
  CHECK_THAT(checked({name, "--consumers", "1"}, 2), contains(": 0 servers of 1 | "));
}

TEST_CASE("belfry check tells of dead participants and damage", "[tool-channels]") {
  const watchdog limit;
  const std::string name = unique_name("check");
  const nothing_left left(name);
  abandon(name, 1);
  CHECK_THAT(checked({name}, 1), contains("2 dead participants | "));
  CHECK_THAT(checked({name, "--no-dead"}, 2), contains("BELFRY CRITICAL - " + name + ": 2 dead participants | "));
  {
    std::fstream file("/dev/shm/" + name, std::ios::in | std::ios::out | std::ios::binary);
    file.seekp(offsetof(layout::identity, header_bytes));
    file.put('\1');
  }
  CHECK_THAT(checked({name}, 2), contains("the header size is"));
  CHECK_THAT(tool_run({"metrics"}).out, contains("\nbelfry_problems "));
  CHECK(tool_run({"rm", name}).status == 0);
}
