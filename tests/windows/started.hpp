// Tests with several processes, without fork: the test program starts itself anew with the name of a body.
#pragma once

#include <cstdint>
#include <functional>
#include <stdexcept>
#include <string>
#include <string_view>
#include <utility>

namespace belfry::test {

/// What a started process does, with the text that its starter has passed.
using body_function = void (*)(const std::string& argument);

/// Makes a function known by a name.
struct body {
  body(std::string_view name, body_function f);
};
/// For main(): runs a body if the arguments ask for one, and says with which exit status the process is to end; -1 if
/// they do not.
int run_body(int argc, char** argv);

/// Thrown by a failed EXPECT; the process exits with an error.
struct unexpected : std::runtime_error {
  using std::runtime_error::runtime_error;
};
#define EXPECT(...)                                                                         \
  do {                                                                                      \
    if (!(__VA_ARGS__)) {                                                                   \
      throw ::belfry::test::unexpected(std::string(__FILE__ ":") + std::to_string(__LINE__) + \
                                       ": " #__VA_ARGS__);                                  \
    }                                                                                       \
  } while (false)

/// A process that the test has started. It is killed if it is still running at the end of this object.
class started {
 public:
  enum class console { shared, own };

  started() noexcept = default;
  started(std::string_view body, const std::string& argument, console c = console::shared);
  started(started&& other) noexcept : process_(std::exchange(other.process_, nullptr)) {}
  started& operator=(started&& other) noexcept;
  ~started() { kill(); }

  /// Waits for its end. Returns the exit status.
  int wait();
  /// TerminateProcess; returns when it has ended. The exit status: 137 if it was still running.
  int kill() noexcept;

 private:
  void* process_ = nullptr;
};

/// A program of another file, with pipes as its standard streams. It is killed if it is still running at the end of this
/// object.
class program {
 public:
  /// Its file in the build, without .exe, as "examples/hello". The arguments are separated by blanks.
  program(const std::string& file, const std::string& arguments);
  program(const program&) = delete;
  program& operator=(const program&) = delete;
  ~program();

  void write(std::string_view text);
  /// Nothing more is written to it.
  void end_input();
  /// The next line that it writes, without its end. Empty at the end of its output.
  std::string line();
  /// All that is left of its output.
  std::string rest();
  /// What it has written to standard error; all of it.
  std::string errors();
  /// The exit status, when it has ended. It must not have more to write than a pipe takes.
  int wait();
  void kill();

 private:
  void* process_ = nullptr;
  void* input_ = nullptr;
  void* output_ = nullptr;
  void* errors_ = nullptr;
};

/// Orders the steps of processes: each set() lets one wait() return. Both sides open it by name.
class event {
 public:
  explicit event(const std::string& name);
  event(const event&) = delete;
  event& operator=(const event&) = delete;
  ~event();
  void set() const;
  void wait() const;

 private:
  void* semaphore_;
};

/// A name that no other test uses, not even one that runs at the same time.
std::string unique_name(std::string_view what);
/// With which those of this process begin.
std::string names_of_this_process();

/// Ends the process if it takes too long.
void watch_over_this_process(unsigned seconds);

void sleep_forever();

/// How many segments have names that begin like this; all for "".
std::size_t files_of(std::string_view name);
/// How many files without a name there are: "new-" or "gone-".
std::size_t stray_files(std::string_view kind);

}  // namespace belfry::test
