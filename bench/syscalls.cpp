// System calls per message while streaming, counted by `strace -c`: of both processes together, beyond
// what setting up takes. Tracing makes the calls themselves slow, and so whoever waits misses more.
#include "cases.hpp"
#include "child.hpp"

#include <algorithm>
#include <cstdio>
#include <memory>
#include <optional>
#include <string>
#include <string_view>

#include <fcntl.h>
#include <unistd.h>

namespace belfry::bench {
namespace {

struct close_file {
  void operator()(std::FILE* f) const { std::fclose(f); }
};

/// The last line of strace's table: 100.00  0.004321  3  1234  5 total (5 of them errors).
std::optional<double> total(std::FILE* table) {
  char line[256];
  while (std::fgets(line, sizeof line, table) != nullptr) {
    double calls = 0;
    const bool four_columns = std::sscanf(line, "%*f %*f %*d %lf", &calls) == 1;
    if (four_columns && std::string_view(line).ends_with(" total\n")) return calls;
  }
  return {};
}

/// This very program; under strace, /proc/self/exe would be strace.
std::string this_program() {
  char path[4096];
  const ssize_t n = ::readlink("/proc/self/exe", path, sizeof path);
  return n > 0 ? std::string(path, static_cast<std::size_t>(n)) : std::string();
}

std::optional<double> count_calls(const std::string& way, std::uint64_t messages) {
  int ends[2];
  if (::pipe2(ends, O_CLOEXEC) != 0) return {};
  const std::unique_ptr<std::FILE, close_file> table(::fdopen(ends[0], "r"));
  const std::string program = this_program();
  const child strace([&] {
    ::dup2(ends[1], STDOUT_FILENO);
    ::execlp("strace", "strace", "-f", "-c", "-o", "/dev/stdout", program.c_str(), "--stream-once",
             way.c_str(), std::to_string(messages).c_str(), nullptr);
    std::perror("belfry-bench: strace");
    return false;
  });
  ::close(ends[1]);
  const auto calls = total(table.get());
  throw_if_interrupted();
  return calls;
}

/// Whatever it takes to begin and to end is in both counts.
std::optional<figure> calls_per_message(const std::string& way) {
  constexpr std::uint64_t few = 10'000;
  const auto base = count_calls(way, few);
  if (!base) return {};
  const std::uint64_t many = *base > few / 2 ? 4 * few : 1'000'000 + few;  // a call takes its time
  const auto calls = count_calls(way, many);
  if (!calls) return {};
  return figure{std::max(*calls - *base, 0.0) / static_cast<double>(many - few), 0, 0};
}

}  // namespace

void syscalls(report& out) {
  const auto ways = stream_ways();
  std::vector<std::pair<std::string, std::optional<figure>>> peers;
  for (const stream_way& w : ways) {
    if (w.ring.empty()) peers.emplace_back(w.name, calls_per_message(w.name));
  }
  for (const stream_way& w : ways) {
    if (w.ring.empty()) continue;
    out.add({"syscalls",
             "ratio",
             {{"of", "system calls per message"}, {"ring", w.ring}, {"how", w.how}},
             calls_per_message(w.name),
             peers});
  }
  idle(out);
}

}  // namespace belfry::bench
