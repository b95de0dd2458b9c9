// The program `belfry` as a process beside the test.
#pragma once

#include "../../src/platform/program.hpp"
#include "support/process.hpp"
#include "support/test.hpp"

#include <filesystem>
#include <iterator>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

#include <fcntl.h>
#include <poll.h>
#include <sys/mman.h>
#include <unistd.h>

namespace belfry::test {

/// A directory that goes with the test.
class scratch_directory {
 public:
  scratch_directory() { REQUIRE(::mkdtemp(path_) != nullptr); }
  scratch_directory(const scratch_directory&) = delete;
  scratch_directory& operator=(const scratch_directory&) = delete;
  ~scratch_directory() { std::filesystem::remove_all(path_); }

  std::string file(const std::string& name) const { return std::string(path_) + '/' + name; }
  std::size_t files() const {
    return static_cast<std::size_t>(std::distance(std::filesystem::directory_iterator(path_), {}));
  }

 private:
  char path_[32] = "/tmp/belfry-test-XXXXXX";
};

class descriptor {
 public:
  explicit descriptor(int fd = -1) noexcept : fd_(fd) {}
  descriptor(descriptor&& other) noexcept : fd_(std::exchange(other.fd_, -1)) {}
  descriptor& operator=(descriptor&& other) noexcept {
    std::swap(fd_, other.fd_);
    return *this;
  }
  ~descriptor() { close(); }
  int get() const noexcept { return fd_; }
  void close() noexcept {
    if (fd_ != -1) ::close(std::exchange(fd_, -1));
  }

 private:
  int fd_;
};

/// Runs `belfry` with these arguments. Its input is a pipe, or a handle of the caller's, or closed; so is its output,
/// which the test reads if it is a pipe.
class running_tool {
 public:
  static constexpr int closed = -2;

  explicit running_tool(std::vector<std::string> arguments, int input = -1, int output = -1, int errors = -1) {
    arguments.insert(arguments.begin(), platform::belfry_program());
    err_ = descriptor(::memfd_create("err", MFD_CLOEXEC));
    descriptor in;
    descriptor out;
    if (input == -1) input = pipe(in, in_, false);
    if (output == -1) output = pipe(out_, out, true);
    if (errors == -1) errors = err_.get();
    process_ = child([&] {
      for (const auto& [handle, stream] : {std::pair(input, 0), std::pair(output, 1)}) {
        if (handle == closed)
          ::close(stream);
        else
          ::dup2(handle, stream);
      }
      ::dup2(errors, 2);
      std::vector<char*> argv;
      for (const std::string& a : arguments) argv.push_back(const_cast<char*>(a.c_str()));
      argv.push_back(nullptr);
      ::execv(argv[0], argv.data());
      EXPECT(!"exec");
    });
  }

  void write(std::string_view text) {
    while (!text.empty()) {
      const ssize_t n = ::write(in_.get(), text.data(), text.size());
      REQUIRE(n > 0);
      text.remove_prefix(static_cast<std::size_t>(n));
    }
  }
  void close_input() { in_.close(); }
  void close_output() { out_.close(); }

  /// The next line of the output, without its end; empty at the end.
  std::string line() {
    std::string text;
    for (char c = 0; read(&c, 1) == 1 && c != '\n';) text += c;
    return text;
  }
  /// The rest of the output.
  std::string rest() {
    std::string text;
    for (char bytes[4096];;) {
      const std::size_t n = read(bytes, sizeof bytes);
      if (n == 0) return text;
      text.append(bytes, n);
    }
  }
  bool has_output() const {
    pollfd p{out_.get(), POLLIN, 0};
    return ::poll(&p, 1, 0) == 1;
  }
  /// What it has said on standard error so far.
  std::string errors() const {
    std::string text(static_cast<std::size_t>(::lseek(err_.get(), 0, SEEK_END)), '\0');
    CHECK(::pread(err_.get(), text.data(), text.size(), 0) == static_cast<ssize_t>(text.size()));
    return text;
  }

  void interrupt() { ::kill(process_.pid(), SIGINT); }
  void kill() { process_.kill(); }
  /// Until SIGCONT.
  void stop() { process_.stop(); }
  int wait() { return process_.wait(); }
  pid_t pid() const noexcept { return process_.pid(); }

 private:
  /// Returns the end for the process.
  static int pipe(descriptor& reader, descriptor& writer, bool process_writes) {
    int ends[2];
    REQUIRE(::pipe2(ends, O_CLOEXEC) == 0);
    reader = descriptor(ends[0]);
    writer = descriptor(ends[1]);
    return ends[process_writes ? 1 : 0];
  }
  std::size_t read(char* into, std::size_t size) {
    const ssize_t n = ::read(out_.get(), into, size);
    REQUIRE(n >= 0);
    return static_cast<std::size_t>(n);
  }

  descriptor in_;
  descriptor out_;
  descriptor err_;
  child process_;
};

inline std::size_t count_lines(std::string_view text) {
  std::size_t n = 0;
  for (const char c : text) n += c == '\n';
  return n;
}

}  // namespace belfry::test
