// Standard streams, files, terminal, signals and secrets of the program `belfry`, and what it tells of the machine.
#include "../tool.hpp"
#include "facts.hpp"
#include "path.hpp"

#include <cerrno>
#include <csignal>
#include <cstdio>
#include <cstdlib>
#include <limits>
#include <vector>

#include <fcntl.h>
#include <linux/membarrier.h>
#include <poll.h>
#include <sys/epoll.h>
#include <sys/file.h>
#include <sys/ioctl.h>
#include <sys/resource.h>
#include <sys/signalfd.h>
#include <sys/stat.h>
#include <sys/statvfs.h>
#include <sys/syscall.h>
#include <sys/utsname.h>
#include <termios.h>
#include <unistd.h>

namespace belfry::platform {
namespace {

void fail(failure& f, std::string what, int error = errno) {
  f = {std::error_code(error, std::system_category()), std::move(what)};
}

/// After a failed read or write: whether to repeat it.
bool interrupted_or_waited(native_handle_type handle, short events) {
  if (errno == EINTR) return true;
  if (errno != EAGAIN) return false;
  pollfd ready{handle, events, 0};
  ::poll(&ready, 1, -1);
  return true;
}

}  // namespace

failure become(const std::string& program, const std::vector<std::string>& arguments) {
  failure f;
  std::string own(4096, '\0');
  const ssize_t length = ::readlink("/proc/self/exe", own.data(), own.size());
  if (length <= 0) {
    fail(f, "readlink /proc/self/exe");
    return f;
  }
  const std::string folder = own.substr(0, own.rfind('/', static_cast<std::size_t>(length) - 1) + 1);
  std::vector<char*> given{const_cast<char*>(program.c_str())};
  for (const std::string& argument : arguments) given.push_back(const_cast<char*>(argument.c_str()));
  given.push_back(nullptr);
  for (const char* const where : {"", "../nats/"}) {  // installed; in the build's folders
    const std::string path = folder + where + program;
    ::execv(path.c_str(), given.data());
    fail(f, "start " + path);
    if (errno != ENOENT) break;
  }
  return f;
}

void prepare_standard_streams() noexcept {
  ::signal(SIGPIPE, SIG_IGN);
  for (const int stream : {STDIN_FILENO, STDOUT_FILENO, STDERR_FILENO}) {
    if (::fcntl(stream, F_GETFD) != -1) continue;
    // The lowest free number. In the wrong direction, so that reading or writing fails.
    ::open("/dev/null", stream == STDIN_FILENO ? O_WRONLY : O_RDONLY);
  }
}

std::vector<std::string> arguments(int argc, const char* const* argv) { return {argv, argv + argc}; }

bool local_time(std::time_t time, std::tm& out) noexcept { return ::localtime_r(&time, &out) != nullptr; }

std::span<const int> ending_signals() noexcept {
  static constexpr int signals[]{SIGINT, SIGTERM};
  return signals;
}

native_handle_type standard_input() noexcept { return STDIN_FILENO; }
native_handle_type standard_output() noexcept { return STDOUT_FILENO; }

void ignore_interrupt() noexcept {
  ::signal(SIGINT, SIG_IGN);
  sigset_t interrupt;
  sigemptyset(&interrupt);
  sigaddset(&interrupt, SIGINT);
  ::pthread_sigmask(SIG_UNBLOCK, &interrupt, nullptr);
}

attention::attention() {
  sigset_t told;
  sigemptyset(&told);
  for (const int signal : {SIGINT, SIGTERM, SIGHUP, SIGQUIT, SIGTSTP, SIGWINCH}) sigaddset(&told, signal);
  ::pthread_sigmask(SIG_BLOCK, &told, nullptr);
  signals_ = detail::unique_handle(::signalfd(-1, &told, SFD_CLOEXEC | SFD_NONBLOCK));
  if (!signals_) throw std::system_error(errno, std::system_category(), "signalfd");
}

attention::call attention::wait_until(std::chrono::steady_clock::time_point deadline, bool keys) {
  using namespace std::chrono;
  for (;;) {
    const auto left = ceil<milliseconds>(deadline - steady_clock::now()).count();
    pollfd ready[]{{signals_.get(), POLLIN, 0}, {keys ? STDIN_FILENO : -1, POLLIN, 0}};
    const int n = ::poll(ready, 2, left < 0 ? 0 : left > 1'000'000 ? 1'000'000 : static_cast<int>(left));
    if (n == -1 && errno != EINTR) throw std::system_error(errno, std::system_category(), "poll");
    signalfd_siginfo info{};
    if (n > 0 && ::read(signals_.get(), &info, sizeof info) == static_cast<ssize_t>(sizeof info)) {
      if (info.ssi_signo == SIGWINCH) return call::resized;
      return info.ssi_signo == SIGTSTP ? call::suspend : call::end;
    }
    if (n > 0 && ready[1].revents != 0) return call::key;
    if (steady_clock::now() >= deadline) return call::timeout;
  }
}

bool attention::sleep_until(std::chrono::steady_clock::time_point deadline) {
  for (;;) {
    const call c = wait_until(deadline);
    if (c == call::timeout) return true;
    if (c == call::end) return false;
    if (c == call::suspend) suspend();
  }
}

void attention::suspend() { ::raise(SIGSTOP); }

struct keyboard::settings {
  termios of{};
};

keyboard::keyboard() {
  auto before = std::make_unique<settings>();
  if (!is_terminal() || ::tcgetattr(STDIN_FILENO, &before->of) != 0) return;
  termios now = before->of;
  now.c_lflag &= ~static_cast<tcflag_t>(ICANON | ECHO);
  now.c_cc[VMIN] = 1;
  now.c_cc[VTIME] = 0;
  if (::tcsetattr(STDIN_FILENO, TCSADRAIN, &now) == 0) before_ = std::move(before);
}

keyboard::~keyboard() {
  if (before_) ::tcsetattr(STDIN_FILENO, TCSADRAIN, &before_->of);
}

char keyboard::read() noexcept {
  char key = 0;
  return ::read(STDIN_FILENO, &key, 1) == 1 ? key : '\0';
}

namespace {

bool write_all(int file, std::string_view text) noexcept {
  while (!text.empty()) {
    const ssize_t n = ::write(file, text.data(), text.size());
    if (n == -1 && errno == EAGAIN) {
      pollfd ready{file, POLLOUT, 0};
      ::poll(&ready, 1, -1);
      continue;
    }
    if (n == -1 && errno != EINTR) return false;
    if (n > 0) text.remove_prefix(static_cast<std::size_t>(n));
  }
  return true;
}

}  // namespace

bool write_to_terminal(std::string_view text) noexcept { return write_all(STDOUT_FILENO, text); }

bool replace_file(const std::string& path, std::string_view text, failure& f) {
  struct stat before {};
  if (::stat(path.c_str(), &before) == 0 && !S_ISREG(before.st_mode)) {
    fail(f, '"' + path + "\" is not a regular file", EINVAL);
    return false;
  }
  std::string part = path + ".XXXXXX";
  const detail::unique_handle file(::mkostemp(part.data(), O_CLOEXEC));
  if (!file) {
    fail(f, "create \"" + part + '"');
    return false;
  }
  const mode_t mask = ::umask(0);
  ::umask(mask);
  const bool done = write_all(file.get(), text) && ::fchmod(file.get(), 0666 & ~mask) == 0 &&
                    ::fsync(file.get()) == 0 && ::rename(part.c_str(), path.c_str()) == 0;
  if (!done) {
    fail(f, "write \"" + path + '"');
    ::unlink(part.c_str());
  }
  return done;
}

std::string read_secret_file(const std::string& path, failure& f) {
  const detail::unique_handle file(::open(path.c_str(), O_RDONLY | O_CLOEXEC));
  struct stat status {};
  if (!file || ::fstat(file.get(), &status) != 0) {
    fail(f, "open \"" + path + '"');
    return {};
  }
  if (S_ISREG(status.st_mode) && (status.st_mode & 077) != 0) {
    fail(f, '"' + path + "\" can be read by other users (chmod 600 it)", EPERM);
    return {};
  }
  return read_to_end(file.get(), f);
}

std::string read_to_end(native_handle_type handle, failure& f) {
  std::string all;
  for (;;) {
    char bytes[4096];
    const ssize_t n = ::read(handle, bytes, sizeof bytes);
    if (n == -1 && interrupted_or_waited(handle, POLLIN)) continue;
    if (n == -1) fail(f, "read from descriptor " + std::to_string(handle));
    if (n <= 0) return all;
    all.append(bytes, static_cast<std::size_t>(n));
  }
}

unique_handle create_file(const std::string& path, bool replace, failure& f) {
  const auto locked = [](const unique_handle& file) { return ::flock(file.get(), LOCK_EX | LOCK_NB) == 0; };
  if (replace) {
    const unique_handle old(::open(path.c_str(), O_RDONLY | O_NONBLOCK | O_CLOEXEC));
    struct stat status {};
    if (old && (::fstat(old.get(), &status) != 0 || !S_ISREG(status.st_mode))) {
      fail(f, "replace \"" + path + "\", which is no regular file", EINVAL);
      return {};
    }
    if (old && !locked(old)) {
      fail(f, "replace \"" + path + "\", which another process is writing", EBUSY);
      return {};
    }
    if (::unlink(path.c_str()) != 0 && errno != ENOENT) {
      fail(f, "replace \"" + path + '"');
      return {};
    }
  }
  unique_handle file(::open(path.c_str(), O_RDWR | O_CREAT | O_EXCL | O_CLOEXEC, 0600));
  if (!file || !locked(file)) {
    fail(f, "create \"" + path + '"');
    return {};
  }
  return file;
}

unique_handle open_input(const std::string& path, failure& f) {
  unique_handle file(::open(path.c_str(), O_RDONLY | O_CLOEXEC));
  if (!file) fail(f, "open \"" + path + '"');
  return file;
}

std::optional<std::uint64_t> size_of_file(native_handle_type handle) noexcept {
  struct stat status {};
  if (::fstat(handle, &status) != 0 || !S_ISREG(status.st_mode)) return std::nullopt;
  return static_cast<std::uint64_t>(status.st_size);
}

std::size_t read_some(native_handle_type handle, std::span<char> into, failure& f) {
  for (;;) {
    const ssize_t n = ::read(handle, into.data(), into.size());
    if (n >= 0) return static_cast<std::size_t>(n);
    if (!interrupted_or_waited(handle, POLLIN)) {
      fail(f, "read the input");
      return 0;
    }
  }
}

std::size_t write_some(native_handle_type handle, std::string_view bytes, failure& f) {
  for (;;) {
    const ssize_t n = ::write(handle, bytes.data(), bytes.size());
    if (n >= 0) return static_cast<std::size_t>(n);
    if (!interrupted_or_waited(handle, POLLOUT)) {
      fail(f, "write to standard output");
      return 0;
    }
  }
}

unique_handle readiness_of(native_handle_type stream, stream_event event, failure& f) {
  unique_handle set(::epoll_create1(EPOLL_CLOEXEC));
  epoll_event wanted{};
  if (event == stream_event::readable) wanted.events = EPOLLIN;
  if (event == stream_event::writable) wanted.events = EPOLLOUT;
  if (set && ::epoll_ctl(set.get(), EPOLL_CTL_ADD, stream, &wanted) == 0) return set;
  if (errno != EPERM) fail(f, "wait for a stream");  // EPERM: a file, which is always ready
  return {};
}

bool is_terminal() noexcept { return ::isatty(STDOUT_FILENO) == 1; }

bool is_screen() noexcept {
  const char* const terminal = std::getenv("TERM");
  return is_terminal() && terminal != nullptr && std::string_view(terminal) != "dumb";
}

bool is_error_terminal() noexcept { return ::isatty(STDERR_FILENO) == 1; }

terminal_size size_of_terminal() noexcept {
  winsize size{};
  if (::ioctl(STDOUT_FILENO, TIOCGWINSZ, &size) != 0) return {};
  return {size.ws_col, size.ws_row};
}

kernel_version kernel() {
  kernel_version version;
  utsname names{};
  if (::uname(&names) != 0) return version;
  version.text = names.release;
  std::sscanf(names.release, "%u.%u", &version.major_number, &version.minor_number);
  return version;
}

bool measure_shared_memory(memory_space& out) noexcept {
  struct statvfs found {};
  if (::statvfs(shared_memory_directory, &found) != 0) return false;
  out = {std::uint64_t{found.f_blocks} * found.f_frsize, std::uint64_t{found.f_bavail} * found.f_frsize};
  return true;
}

std::uint64_t most_handles() noexcept {
  rlimit limit{};
  if (::getrlimit(RLIMIT_NOFILE, &limit) != 0 || limit.rlim_cur == RLIM_INFINITY)
    return std::numeric_limits<std::uint64_t>::max();
  return limit.rlim_cur;
}

bool has_barriers() noexcept {
  const long commands = ::syscall(SYS_membarrier, MEMBARRIER_CMD_QUERY, 0, 0);
  return commands > 0 && (commands & MEMBARRIER_CMD_GLOBAL_EXPEDITED) != 0;
}

}  // namespace belfry::platform
