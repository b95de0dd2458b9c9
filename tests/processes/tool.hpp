// The program `belfry`, as a user runs it, and what it prints.
#pragma once

#include "../../src/platform/program.hpp"
#include "support/process.hpp"
#include "support/test.hpp"

#include <cstdlib>
#include <sstream>
#include <string>
#include <utility>
#include <vector>

#include <fcntl.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include <unistd.h>

namespace belfry::test {

struct outcome {
  int status = 0;
  std::string out;
  std::string err;
};

using settings = std::vector<std::pair<const char*, const char*>>;

inline std::string all_of(int fd) {
  std::string text(static_cast<std::size_t>(::lseek(fd, 0, SEEK_END)), '\0');
  CHECK(::pread(fd, text.data(), text.size(), 0) == static_cast<ssize_t>(text.size()));
  ::close(fd);
  return text;
}

/// Runs a program to its end; its output goes to `out`, or else into the outcome.
inline outcome run_program(const std::vector<std::string>& command, const settings& environment = {}, int input = -1,
                           int out = -1) {
  const int into = out == -1 ? ::memfd_create("out", MFD_CLOEXEC) : out;
  const int errors = ::memfd_create("err", MFD_CLOEXEC);
  child c([&] {
    for (const auto& [name, value] : environment) ::setenv(name, value, 1);
    ::dup2(into, 1);
    ::dup2(errors, 2);
    if (input != -1) ::dup2(input, 0);
    std::vector<char*> argv;
    for (const std::string& a : command) argv.push_back(const_cast<char*>(a.c_str()));
    argv.push_back(nullptr);
    ::execvp(argv[0], argv.data());
    EXPECT(!"exec");
  });
  outcome o;
  o.status = c.wait();
  if (out == -1) o.out = all_of(into);
  o.err = all_of(errors);
  return o;
}

inline outcome tool_run(std::vector<std::string> arguments, const settings& environment = {}, int out = -1) {
  arguments.insert(arguments.begin(), platform::belfry_program());
  return run_program(arguments, environment, -1, out);
}

inline std::vector<std::string> lines_of(const std::string& text) {
  std::vector<std::string> lines;
  std::istringstream in(text);
  for (std::string line; std::getline(in, line);) lines.push_back(line);
  return lines;
}

/// The tool while it runs. Its output is a pipe.
class running_tool {
 public:
  explicit running_tool(std::vector<std::string> arguments) {
    arguments.insert(arguments.begin(), platform::belfry_program());
    int ends[2];
    REQUIRE(::pipe2(ends, O_CLOEXEC) == 0);
    out_ = ends[0];
    process_ = child([&] {
      ::dup2(ends[1], 1);
      std::vector<char*> argv;
      for (const std::string& a : arguments) argv.push_back(const_cast<char*>(a.c_str()));
      argv.push_back(nullptr);
      ::execv(argv[0], argv.data());
      EXPECT(!"exec");
    });
    ::close(ends[1]);
  }
  running_tool(const running_tool&) = delete;
  running_tool& operator=(const running_tool&) = delete;
  ~running_tool() { ::close(out_); }

  /// The next line of its output; awaits it. Empty at the end.
  std::string line() {
    std::string text;
    for (char c = 0; ::read(out_, &c, 1) == 1 && c != '\n';) text += c;
    return text;
  }
  /// Its exit status.
  int end(int signal) {
    ::kill(process_.pid(), signal);
    return process_.wait();
  }
  int wait() { return process_.wait(); }

 private:
  int out_ = -1;
  child process_;
};

/// The line of a table that is about this name.
inline std::string line_about(const std::string& text, const std::string& name) {
  for (const std::string& line : lines_of(text)) {
    if (line.starts_with(name + ' ')) return line;
  }
  return {};
}

/// What Python's json makes of the output: the value of an expression for each object `o` whose name this is.
inline std::string json_says(const std::string& text, const std::string& name, const std::string& expression) {
  const int input = ::memfd_create("json", MFD_CLOEXEC);
  CHECK(::write(input, text.data(), text.size()) == static_cast<ssize_t>(text.size()));
  ::lseek(input, 0, SEEK_SET);
  const outcome o = run_program({"python3", "-c",
                                 "import json, sys\nfor o in map(json.loads, sys.stdin):\n if "
                                 "o.get('name', o.get('check')) == sys.argv[1]: print(" +
                                     expression + ")",
                                 name},
                                {}, input);
  ::close(input);
  CHECK(o.status == 0);
  CHECK(o.err == "");
  return o.out.substr(0, o.out.find('\n'));
}

}  // namespace belfry::test
