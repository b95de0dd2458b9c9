#pragma once

#include <cerrno>
#include <cstddef>
#include <span>
#include <string>
#include <system_error>

#include <fcntl.h>
#include <unistd.h>

[[noreturn]] inline void fail(const std::string& what) {
  throw std::system_error(errno, std::generic_category(), what);
}

inline int open_file(const std::string& path, int flags) {
  const int file = ::open(path.c_str(), flags | O_CLOEXEC, 0666);
  if (file == -1) fail("cannot open " + path);
  return file;
}
inline int open_input(const std::string& path) { return open_file(path, O_RDONLY); }
inline int open_output(const std::string& path) { return open_file(path, O_WRONLY | O_CREAT | O_TRUNC); }

/// Returns 0 at the end of the file.
inline std::size_t read_some(int file, std::span<std::byte> into) {
  const ssize_t n = ::read(file, into.data(), into.size());
  if (n == -1) fail("cannot read the input");
  return static_cast<std::size_t>(n);
}

inline void write_all(int file, std::span<const std::byte> from) {
  while (!from.empty()) {
    const ssize_t n = ::write(file, from.data(), from.size());
    if (n == -1) fail("cannot write the output");
    from = from.subspan(static_cast<std::size_t>(n));
  }
}

inline void close_file(int file) {
  if (::close(file) != 0) fail("cannot write the output");
}

/// Whether standard error is a terminal.
inline bool shows_errors_on_terminal() { return ::isatty(STDERR_FILENO) == 1; }
