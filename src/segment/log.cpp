#include "log.hpp"

#include "../platform/process.hpp"

#include <cstdio>
#include <string>

namespace belfry {
namespace {

constexpr std::string_view name_of(log_level level) noexcept {
  switch (level) {
    case log_level::debug: return "debug";
    case log_level::warning: return "warning";
    case log_level::error: return "error";
  }
  return "?";
}

template <log_level Least>
void print_from(const log_entry& entry) noexcept {
  if (entry.level >= Least) print_log(entry);
}

log_function asked_for_by_environment() noexcept {
  const char* const value = platform::trusted_environment("BELFRY_LOG");
  const std::string_view level = value == nullptr ? "" : value;
  if (level == "debug") return print_from<log_level::debug>;
  if (level == "warning") return print_from<log_level::warning>;
  if (level == "error") return print_from<log_level::error>;
  return nullptr;
}

std::atomic<log_function>& function() noexcept {
  static std::atomic<log_function> f{asked_for_by_environment()};
  return f;
}

/// A name may have any bytes: a line stays one line.
void append_printable(std::string& line, std::string_view text) {
  for (const char c : text) {
    const auto byte = static_cast<unsigned char>(c);
    line += byte >= ' ' && byte != 0x7f ? c : '?';
  }
}

}  // namespace

namespace detail {

log_function current_log() noexcept { return function().load(std::memory_order_acquire); }

void log_refusal(std::string_view channel, const failure& f) {
  if (current_log() == nullptr) return;
  log(log_level::warning, "refused", channel, {{"error", f.code.message()}, {"text", f.what}});
}

}  // namespace detail

log_function set_log(log_function f) noexcept {
  // Release: what the function needs was made before. Pairs with the acquire in current_log().
  return function().exchange(f, std::memory_order_acq_rel);
}

void print_log(const log_entry& entry) noexcept try {
  std::string line = "belfry: " + std::string(name_of(entry.level)) + ": ";
  append_printable(line, entry.event);
  line += ' ';
  append_printable(line, entry.channel.empty() ? "(without a name)" : entry.channel);
  for (const log_field& f : entry.fields) {
    line += ' ';
    append_printable(line, f.key);
    line += '=';
    append_printable(line, f.value);
  }
  line += '\n';
  std::fputs(line.c_str(), stderr);  // one call, so that lines of several threads do not mix
} catch (const std::bad_alloc&) {
  std::fputs("belfry: no memory for a log entry\n", stderr);
}

}  // namespace belfry
