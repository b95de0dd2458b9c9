// A pseudoterminal, as a test sees it.
#pragma once

#include <cstddef>
#include <string>

#include <unistd.h>

namespace belfry::test {

/// What was written to a terminal that no process has open any more. Its end is an error; a read gives what has arrived.
inline std::string rest_of_terminal(int terminal) {
  std::string seen;
  char part[4096];
  for (ssize_t n = 0; (n = ::read(terminal, part, sizeof part)) > 0;) seen.append(part, static_cast<std::size_t>(n));
  return seen;
}

}  // namespace belfry::test
