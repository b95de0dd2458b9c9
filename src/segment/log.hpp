// Telling the program what happens. Costs one load if it does not want to know.
#pragma once

#include <belfry/error.hpp>
#include <belfry/log.hpp>

#include <array>
#include <atomic>
#include <charconv>
#include <cstddef>
#include <cstdint>
#include <initializer_list>
#include <string_view>

namespace belfry::detail {

/// The function to call; null: none.
log_function current_log() noexcept;

/// A number as text, for a field.
class digits {
 public:
  explicit digits(std::uint64_t n) noexcept
      : end_(std::to_chars(text_.data(), text_.data() + text_.size(), n).ptr) {}
  operator std::string_view() const noexcept {
    return {text_.data(), static_cast<std::size_t>(end_ - text_.data())};
  }

 private:
  std::array<char, 20> text_;
  char* end_;
};

inline void log(log_level level, std::string_view event, std::string_view channel,
                std::initializer_list<log_field> fields = {}) noexcept {
  if (const log_function f = current_log()) f({level, event, channel, {fields.begin(), fields.size()}});
}

/// An endpoint could not join.
void log_refusal(std::string_view channel, const failure& f);

}  // namespace belfry::detail
