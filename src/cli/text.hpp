// What the commands print for people: tables as wide as the terminal, sizes, names from outside.
#pragma once

#include <cstddef>
#include <cstdint>
#include <iosfwd>
#include <string>
#include <string_view>
#include <vector>

namespace belfry::cli {

/// Only on a terminal, and not if NO_COLOR is set.
enum class tone { plain, title, warning, bad };

struct cell {
  std::string text;
  tone colour = tone::plain;

  cell(std::string t, tone c = tone::plain) : text(std::move(t)), colour(c) {}
  cell(const char* t) : text(t) {}
};

/// Aligned columns. If they are wider than the terminal, the last column is cut, then the first; then the last ones are
/// left out.
class table {
 public:
  /// A title that begins with '>' is that of a column of numbers.
  explicit table(std::vector<std::string> titles);
  void add(std::vector<cell> row);
  void print(std::ostream& out, std::string_view indent = "") const;

 private:
  std::vector<bool> numbers_;
  std::vector<std::vector<cell>> rows_;
};

/// A line on standard error.
void complain(std::string_view what);

std::string coloured(std::string_view text, tone colour);

/// A text from outside, without characters that a terminal would obey.
std::string shown(std::string_view name);
/// 0, 512, 4.0K, 16.2M
std::string size_text(std::uint64_t bytes);
/// 0600
std::string mode_text(unsigned mode);
std::string hex_text(std::uint64_t number);
std::string plural(std::uint64_t count, std::string_view what);

}  // namespace belfry::cli
