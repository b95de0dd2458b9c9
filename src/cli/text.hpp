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

/// In characters; 0: as wide as it likes. COLUMNS counts also where standard output is no terminal.
std::size_t line_width();

/// Aligned columns. If they are wider than the terminal, the last column is cut, then the first; then the last ones are
/// left out.
class table {
 public:
  /// A title that begins with '>' is that of a column of numbers.
  explicit table(std::vector<std::string> titles);
  void add(std::vector<cell> row);
  void print(std::ostream& out, std::string_view indent = "", std::size_t width = line_width()) const;

 private:
  std::vector<bool> numbers_;
  std::vector<std::vector<cell>> rows_;
};

/// A line on standard error.
void complain(std::string_view what);

/// At most so many characters; what is missing is "…".
std::string cut(const std::string& text, std::size_t width);

std::string coloured(std::string_view text, tone colour);

/// A text from outside, without characters that a terminal would obey.
std::string shown(std::string_view name);
/// 0, 512, 4.0K, 16.2M
std::string size_text(std::uint64_t bytes);
/// 0600
std::string mode_text(unsigned mode);
/// With one digit behind the point.
std::string fixed_text(double number);
/// 0, 99.5, 512, 12.3k, 4.5M
std::string short_text(double number);
std::string hex_text(std::uint64_t number);
std::string plural(std::uint64_t count, std::string_view what);

}  // namespace belfry::cli
