// belfry top: tables without a terminal, and the live screen on one, which is as it was in the end.
#include "../../src/base/utf8.hpp"
#include "abandoned.hpp"
#include "tool.hpp"

#include <algorithm>
#include <csignal>
#include <functional>
#include <optional>

#include <poll.h>
#include <sys/ioctl.h>
#include <sys/wait.h>
#include <termios.h>

using namespace belfry;
using namespace belfry::test;

namespace {

constexpr unsigned short most_rows = 300;

/// The tool on a terminal of its own.
class tool_on_terminal {
 public:
  tool_on_terminal(std::vector<std::string> arguments, unsigned short columns, const settings& environment = {}) {
    master_ = ::posix_openpt(O_RDWR | O_NOCTTY | O_CLOEXEC);
    REQUIRE(master_ != -1);
    REQUIRE(::grantpt(master_) == 0);
    REQUIRE(::unlockpt(master_) == 0);
    slave_ = ::open(::ptsname(master_), O_RDWR | O_NOCTTY | O_CLOEXEC);
    resize(columns);
    REQUIRE(::tcgetattr(slave_, &before_) == 0);
    arguments.insert(arguments.begin(), platform::belfry_program());
    process_ = child([&] {
      ::setenv("TERM", "xterm", 1);
      ::unsetenv("COLUMNS");
      ::unsetenv("NO_COLOR");
      for (const auto& [name, value] : environment) ::setenv(name, value, 1);
      ::setsid();
      EXPECT(::ioctl(slave_, TIOCSCTTY, 0) == 0);
      for (const int fd : {0, 1, 2}) ::dup2(slave_, fd);
      std::vector<char*> argv;
      for (const std::string& a : arguments) argv.push_back(const_cast<char*>(a.c_str()));
      argv.push_back(nullptr);
      ::execv(argv[0], argv.data());
      EXPECT(!"exec");
    });
  }
  tool_on_terminal(const tool_on_terminal&) = delete;
  tool_on_terminal& operator=(const tool_on_terminal&) = delete;
  ~tool_on_terminal() {
    ::close(slave_);
    ::close(master_);
  }

  void resize(unsigned short columns) {
    const winsize size{most_rows, columns, 0, 0};  // other tests have channels, too
    REQUIRE(::ioctl(master_, TIOCSWINSZ, &size) == 0);
  }
  void type(std::string_view keys) { CHECK(::write(master_, keys.data(), keys.size()) == static_cast<ssize_t>(keys.size())); }

  /// The next picture: the lines that were drawn at once.
  std::vector<std::string> picture() {
    constexpr std::string_view begin = "\x1b[H";
    constexpr std::string_view end = "\x1b[J";
    for (;;) {
      const std::size_t from = seen_.find(begin, at_);
      const std::size_t to = from == seen_.npos ? from : seen_.find(end, from);
      if (to == seen_.npos) {
        read();
        continue;
      }
      at_ = to;
      std::string text = seen_.substr(from + begin.size(), to - from - begin.size());
      std::erase(text, '\r');
      std::vector<std::string> lines = lines_of(text);
      for (std::string& l : lines) {
        for (std::size_t e; (e = l.find('\x1b')) != l.npos;) l.erase(e, l.find_first_of("mK", e) - e + 1);
      }
      return lines;
    }
  }
  /// The next picture for which this holds.
  template <class Condition>
  std::vector<std::string> picture(Condition holds) {
    for (;;) {
      std::vector<std::string> lines = picture();
      if (holds(lines)) return lines;
    }
  }
  int wait() { return process_.wait(); }
  child& process() { return process_; }

  /// All that it has written, after its end.
  const std::string& output() {
    pollfd ready{master_, POLLIN, 0};
    while (::poll(&ready, 1, 0) == 1 && (ready.revents & POLLIN) != 0) read();
    return seen_;
  }
  bool restored() {
    termios now{};
    const bool same = ::tcgetattr(slave_, &now) == 0 && now.c_lflag == before_.c_lflag;
    const std::string& all = output();
    return same && all.rfind("\x1b[?1049l") > all.rfind("\x1b[?1049h") && all.rfind("\x1b[?1049l") != all.npos &&
           all.rfind("\x1b[?25h") > all.rfind("\x1b[?25l") && all.rfind("\x1b[?7h") > all.rfind("\x1b[?7l");
  }

 private:
  void read() {
    char bytes[4096];
    const ssize_t n = ::read(master_, bytes, sizeof bytes);
    REQUIRE(n > 0);
    seen_.append(bytes, static_cast<std::size_t>(n));
  }

  int master_ = -1;
  int slave_ = -1;
  termios before_{};
  std::string seen_;
  std::size_t at_ = 0;
  child process_;
};

std::string row_of(const std::vector<std::string>& lines, const std::string& name) {
  const auto found = std::ranges::find_if(lines, [&](const std::string& l) { return l.starts_with(name + ' '); });
  return found == lines.end() ? "" : *found;
}
bool fits(const std::vector<std::string>& lines, std::size_t columns) {
  return lines.size() <= most_rows && std::ranges::all_of(lines, [&](const std::string& l) { return utf8_characters(l) <= columns; });
}
std::vector<std::string> words_of(const std::string& line) {
  std::istringstream in(line);
  std::vector<std::string> words;
  for (std::string w; in >> w;) words.push_back(w);
  return words;
}

}  // namespace

TEST_CASE("belfry top prints a table after each interval where there is no terminal", "[tool-top]") {
  const watchdog limit;
  const std::string name = unique_name("top");
  const nothing_left check(name);
  net::io_context io;
  abandoned_values::producer tx(io, name);
  abandoned_values::consumer rx(io, name);
  for (std::uint64_t i = 0; i != 32; ++i) REQUIRE(tx.try_send({i, 0.5}));
  const outcome two = tool_run({"top", "--interval", "0.05", "--count", "2"});
  CHECK(two.status == 0);
  CHECK(two.err == "");
  CHECK(two.out.find('\x1b') == std::string::npos);
  std::size_t rows = 0;
  for (const std::string& line : lines_of(two.out)) rows += line.starts_with(name + ' ');
  CHECK(rows == 2);
  CHECK(words_of(line_about(two.out, name)) ==
        std::vector<std::string>{name, "spsc_ring", "0", "0", "[#####", "]", "50%", "1", "1", "2/2", "0", "0"});
  const outcome narrow = tool_run({"top", "--interval", "0.05", "--count", "1"}, {{"COLUMNS", "40"}});
  CHECK(narrow.status == 0);
  for (const std::string& line : lines_of(narrow.out)) CHECK(utf8_characters(line) <= 40);

  // Its first table is about the first interval.
  running_tool top({"top", "--interval", "0.2"});
  const auto row = [&] {
    for (std::string line;;) {
      if ((line = top.line()).starts_with(name + ' ')) return words_of(line);
    }
  };
  row();
  REQUIRE(tx.try_send({32, 0.5}));
  while (row()[2] == "0") {
  }
  CHECK(top.end(SIGINT) == 0);
  CHECK(inspect(name).joins == 2);
  while (rx.try_receive()) {
  }
}

TEST_CASE("belfry top fits the terminal, obeys keys, and restores it at its end", "[tool-top]") {
  const watchdog limit;
  const std::string name = unique_name("top");
  const nothing_left check(name);
  net::io_context io;
  abandoned_values::producer tx(io, name);
  abandoned_values::producer other(io, name + "-other");
  for (std::uint64_t i = 0; i != 64; ++i) REQUIRE(other.try_send({i, 0.5}));
  {
    tool_on_terminal top({"top", "--interval", "0.05"}, 150);
    std::vector<std::string> lines = top.picture([&](const auto& l) { return !row_of(l, name).empty(); });
    CHECK(fits(lines, 150));
    CHECK_THAT(lines[0], contains("by name"));
    CHECK_THAT(lines[1], contains("DEATHS"));
    CHECK_THAT(row_of(lines, name + "-other"), contains("[##########] 100%"));
    top.type("s");
    top.picture([](const auto& l) { return l[0].find("by messages") != std::string::npos; });
    top.type("ss");
    lines = top.picture([](const auto& l) { return l[0].find("by fill") != std::string::npos; });
    CHECK(lines[2].find("100%") != std::string::npos);
    top.resize(40);
    lines = top.picture([&](const auto& l) { return l[0].find("q: quit") == std::string::npos; });
    CHECK(fits(lines, 40));
    CHECK(lines.size() > 2);
    top.type("q");
    CHECK(top.wait() == 0);
    CHECK(top.restored());
    CHECK(top.output().find("\x1b[1m") != std::string::npos);
  }
  for (const int signal : {0, SIGINT, SIGTERM, SIGHUP, SIGQUIT}) {
    tool_on_terminal top({"top", "--interval", "0.05"}, 100, {{"NO_COLOR", "1"}});
    top.picture();
    if (signal == 0)
      top.type("\x03");
    else
      ::kill(top.process().pid(), signal);
    CHECK(top.wait() == 0);
    CHECK(top.restored());
    CHECK(top.output().find("\x1b[1m") == std::string::npos);
  }
  {
    tool_on_terminal top({"top", "--interval", "0.05", "--count", "2"}, 100);
    CHECK(top.wait() == 0);
    CHECK(top.restored());
  }
  {  // On a terminal that understands nothing, as without one.
    tool_on_terminal top({"top", "--interval", "0.05", "--count", "2"}, 100, {{"TERM", "dumb"}});
    CHECK(top.wait() == 0);
    CHECK(top.output().find('\x1b') == std::string::npos);
  }
  abandoned_values::unlink(name + "-other");
}

TEST_CASE("belfry top restores the terminal while it is suspended", "[tool-top]") {
  const watchdog limit;
  tool_on_terminal top({"top", "--interval", "0.05"}, 100);
  top.picture();
  ::kill(top.process().pid(), SIGTSTP);
  int status = 0;
  REQUIRE(::waitpid(top.process().pid(), &status, WUNTRACED) == top.process().pid());
  CHECK(WIFSTOPPED(status));
  CHECK(top.restored());
  const std::size_t before = top.output().size();
  ::kill(top.process().pid(), SIGCONT);
  await([&] { return top.output().find("\x1b[J", before) != std::string::npos; });
  top.type("q");
  CHECK(top.wait() == 0);
  CHECK(top.restored());
}

TEST_CASE("belfry top in tmux", "[tool-tmux]") {
  const watchdog limit;
  if (std::system("command -v tmux >/dev/null") != 0) skip("there is no tmux");
  const std::string name = unique_name("tmux");
  const nothing_left check(name);
  net::io_context io;
  abandoned_values::producer tx(io, name);
  for (std::uint64_t i = 0; i != 32; ++i) REQUIRE(tx.try_send({i, 0.5}));
  const std::string socket = "/tmp/" + name + ".tmux";
  const auto tmux = [&](std::vector<std::string> arguments) {
    arguments.insert(arguments.begin(), {"tmux", "-f", "/dev/null", "-S", socket});
    return run_program(arguments, {{"TERM", "xterm"}});
  };
  struct at_end {
    std::function<void()> then;
    ~at_end() { then(); }
  } const end{[&] {
    tmux({"kill-server"});
    ::unlink(socket.c_str());
    abandoned_values::unlink(name);
  }};
  const auto screen = [&] { return lines_of(tmux({"capture-pane", "-p", "-t", "0"}).out); };
  const auto await_screen = [&](const std::string& what) {
    std::vector<std::string> lines;
    await([&] {
      lines = screen();
      return std::ranges::any_of(lines, [&](const std::string& l) { return l.find(what) != l.npos; });
    });
    return lines;
  };
  // A shell stays, to see that the screen is as it was.
  REQUIRE(tmux({"new-session", "-d", "-x", "160", "-y", "300",
                "echo before; " + platform::belfry_program() + " top --interval 0.1; echo status $?; cat"})
              .status == 0);
  std::vector<std::string> lines = await_screen(name);
  CHECK_THAT(row_of(lines, name), contains("[#####     ]  50%"));
  CHECK(std::ranges::none_of(lines, [](const std::string& l) { return l == "before"; }));
  CHECK(tmux({"send-keys", "-t", "0", "s"}).status == 0);
  await_screen("by messages");
  CHECK(tmux({"resize-window", "-t", "0", "-x", "50", "-y", "300"}).status == 0);
  await([&] {
    lines = screen();
    return !lines.empty() && lines[0].starts_with("belfry top") && utf8_characters(lines[0]) <= 50;
  });
  CHECK(tmux({"send-keys", "-t", "0", "q"}).status == 0);
  lines = await_screen("status 0");
  CHECK(lines[0] == "before");
}
