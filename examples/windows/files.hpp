#pragma once

#include <algorithm>
#include <cerrno>
#include <cstddef>
#include <span>
#include <string>
#include <system_error>

#include <fcntl.h>
#include <io.h>
#include <sys/stat.h>

[[noreturn]] inline void fail(const std::string& what) {
  throw std::system_error(errno, std::generic_category(), what);
}

inline int open_file(const std::string& path, int flags) {
  const int file = ::_open(path.c_str(), flags | _O_BINARY | _O_NOINHERIT, _S_IREAD | _S_IWRITE);
  if (file == -1) fail("cannot open " + path);
  return file;
}
inline int open_input(const std::string& path) { return open_file(path, _O_RDONLY); }
inline int open_output(const std::string& path) { return open_file(path, _O_WRONLY | _O_CREAT | _O_TRUNC); }

/// Returns 0 at the end of the file.
inline std::size_t read_some(int file, std::span<std::byte> into) {
  const int n = ::_read(file, into.data(), static_cast<unsigned>(std::min<std::size_t>(into.size(), 1 << 20)));
  if (n == -1) fail("cannot read the input");
  return static_cast<std::size_t>(n);
}

inline void write_all(int file, std::span<const std::byte> from) {
  while (!from.empty()) {
    const int n = ::_write(file, from.data(), static_cast<unsigned>(std::min<std::size_t>(from.size(), 1 << 20)));
    if (n == -1) fail("cannot write the output");
    from = from.subspan(static_cast<std::size_t>(n));
  }
}

inline void close_file(int file) {
  if (::_close(file) != 0) fail("cannot write the output");
}

/// Whether standard error is a terminal.
inline bool shows_errors_on_terminal() { return ::_isatty(2) != 0; }
