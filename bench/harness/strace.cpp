#include "strace.hpp"

#include "child.hpp"

#include <algorithm>
#include <cstdio>
#include <memory>
#include <string_view>

#include <fcntl.h>
#include <unistd.h>

namespace belfry::bench {
namespace {

struct close_file {
  void operator()(std::FILE* f) const { std::fclose(f); }
};

bool rings(std::string_view call) {
  for (const std::string_view one : {"write", "pwritev2", "writev", "sendmsg", "sendto"}) {
    if (call == one) return true;
  }
  return false;
}

/// strace's table: 93.21  0.004321  3  1234  5 read (5 of them errors), and likewise, at its end, `total`.
std::optional<calls_per_message> read_table(std::FILE* table) {
  calls_per_message counts;
  char line[256];
  while (std::fgets(line, sizeof line, table) != nullptr) {
    double calls = 0;
    if (std::sscanf(line, "%*f %*f %*d %lf", &calls) != 1) continue;
    std::string_view name(line);
    name.remove_suffix(1);
    name.remove_prefix(name.rfind(' ') + 1);
    if (rings(name)) counts.rings += calls;
    if (name == "clock_nanosleep") counts.all -= calls;  // the sender waits until a message is due
    if (name != "total") continue;
    counts.all += calls;
    return counts;
  }
  return {};
}

/// This program; under strace, /proc/self/exe would be strace.
std::string this_program() {
  char path[4096];
  const ssize_t n = ::readlink("/proc/self/exe", path, sizeof path);
  return n > 0 ? std::string(path, static_cast<std::size_t>(n)) : std::string();
}

std::optional<calls_per_message> count(std::vector<std::string> arguments) {
  int ends[2];
  if (::pipe2(ends, O_CLOEXEC) != 0) return {};
  const std::unique_ptr<std::FILE, close_file> table(::fdopen(ends[0], "r"));
  std::vector<std::string> command{"strace", "-f", "-c", "-o", "/dev/stdout", this_program()};
  command.insert(command.end(), arguments.begin(), arguments.end());
  std::vector<char*> words;
  for (std::string& word : command) words.push_back(word.data());
  words.push_back(nullptr);
  const child strace([&] {
    ::dup2(ends[1], STDOUT_FILENO);
    ::execvp(words[0], words.data());
    std::perror("belfry-bench: strace");
    return false;
  });
  ::close(ends[1]);
  const auto counts = read_table(table.get());
  throw_if_interrupted();
  return counts;
}

}  // namespace

std::optional<calls_per_message> trace(
    const std::function<std::vector<std::string>(std::uint64_t)>& arguments, std::uint64_t few,
    std::uint64_t many) {
  const auto base = count(arguments(few));
  if (!base) return {};
  // Calls are slow under strace: a contender with a call per message gets fewer messages.
  if (base->all > static_cast<double>(few) / 2) many = std::min(many, 4 * few);
  const auto counts = count(arguments(many));
  if (!counts) return {};
  const auto each = [&](double of_many, double of_few) {
    return std::max(of_many - of_few, 0.0) / static_cast<double>(many - few);
  };
  return calls_per_message{each(counts->all, base->all), each(counts->rings, base->rings)};
}

}  // namespace belfry::bench
