#include "text.hpp"

#include "../base/utf8.hpp"
#include "../platform/tool.hpp"

#include <algorithm>
#include <array>
#include <cstdio>
#include <cstdlib>
#include <iostream>

namespace belfry::cli {
namespace {

bool with_colours() {
  const char* const no = std::getenv("NO_COLOR");
  const char* const terminal = std::getenv("TERM");
  return platform::is_terminal() && (no == nullptr || *no == '\0') &&
         (terminal == nullptr || std::string_view(terminal) != "dumb");
}

}  // namespace

std::size_t line_width() {
  if (const char* const told = std::getenv("COLUMNS"); told != nullptr) {
    if (const unsigned long n = std::strtoul(told, nullptr, 10); n != 0) return n;
  }
  return platform::is_terminal() ? platform::size_of_terminal().columns : 0;
}

std::string cut(const std::string& text, std::size_t width) {
  if (utf8_characters(text) <= width) return text;
  std::size_t end = 0;
  for (std::size_t left = width; end != text.size(); ++end) {
    const bool begins = (static_cast<std::uint8_t>(text[end]) & 0xc0) != 0x80;
    if (begins && left-- <= 1) break;
  }
  return width == 0 ? "" : text.substr(0, end) + "…";
}

// In one write, so that lines of several processes do not mix.
void complain(std::string_view what) { std::cerr << "belfry: " + shown(what) + '\n'; }

std::string coloured(std::string_view text, tone colour) {
  static const bool wanted = with_colours();
  if (!wanted || colour == tone::plain) return std::string(text);
  const char* const code = colour == tone::title     ? "\x1b[1m"
                           : colour == tone::warning ? "\x1b[33m"
                                                     : "\x1b[31m";
  return code + std::string(text) + "\x1b[0m";
}

table::table(std::vector<std::string> titles) {
  std::vector<cell> row;
  for (std::string& title : titles) {
    numbers_.push_back(title.starts_with('>'));
    row.emplace_back(numbers_.back() ? title.substr(1) : title, tone::title);
  }
  rows_.push_back(std::move(row));
}

void table::add(std::vector<cell> row) { rows_.push_back(std::move(row)); }

void table::print(std::ostream& out, std::string_view indent, std::size_t limit) const {
  constexpr std::size_t gap = 2;
  constexpr std::size_t least = 8;
  std::vector<std::size_t> widths(numbers_.size());
  for (const std::vector<cell>& row : rows_) {
    for (std::size_t i = 0; i != row.size(); ++i)
      widths[i] = std::max(widths[i], utf8_characters(row[i].text));
  }
  std::size_t all = indent.size();
  for (const std::size_t w : widths) all += w + gap;
  all -= gap;
  for (const std::size_t column : {widths.size() - 1, std::size_t{0}}) {
    if (limit == 0 || all <= limit) break;
    const std::size_t spare = widths[column] - std::min(widths[column], least);
    const std::size_t less = std::min(spare, all - limit);
    widths[column] -= less;
    all -= less;
  }
  std::size_t columns = widths.size();
  for (; limit != 0 && all > limit && columns != 1; --columns) all -= widths[columns - 1] + gap;
  for (const std::vector<cell>& row : rows_) {
    std::string line(indent);
    for (std::size_t i = 0; i != columns; ++i) {
      const std::string text = cut(row[i].text, widths[i]);
      const std::string blanks(widths[i] - utf8_characters(text), ' ');
      const bool last = i + 1 == columns;
      if (numbers_[i]) line += blanks;
      line += coloured(text, row[i].colour);
      if (!numbers_[i] && !last) line += blanks;
      if (!last) line.append(gap, ' ');
    }
    line.erase(line.find_last_not_of(' ') + 1);
    out << line << '\n';
  }
}

std::string shown(std::string_view name) {
  const bool text = is_utf8(name);
  std::string out;
  for (std::size_t i = 0; i != name.size(); ++i) {
    const auto c = static_cast<std::uint8_t>(name[i]);
    const bool high_control = text && c == 0xc2 && static_cast<std::uint8_t>(name[i + 1]) < 0xa0;
    const bool after_one =
        text && i != 0 && static_cast<std::uint8_t>(name[i - 1]) == 0xc2 && c < 0xa0;
    if (c >= 0x20 && c != 0x7f && (c < 0x80 || text) && !high_control && !after_one) {
      out += static_cast<char>(c);
    } else {
      char escaped[8];
      std::snprintf(escaped, sizeof escaped, "\\x%02x", c);
      out += escaped;
    }
  }
  return out;
}

std::string size_text(std::uint64_t bytes) {
  constexpr std::array units{'K', 'M', 'G', 'T', 'P', 'E'};
  if (bytes < 1024) return std::to_string(bytes);
  auto size = static_cast<double>(bytes);
  std::size_t unit = 0;
  for (size /= 1024; size >= 1024 && unit + 1 != units.size(); size /= 1024) ++unit;
  char text[32];
  std::snprintf(text, sizeof text, "%.1f%c", size, units[unit]);
  return text;
}

std::string mode_text(unsigned mode) {
  char text[16];
  std::snprintf(text, sizeof text, "0%03o", mode & 0777);
  return text;
}

std::string fixed_text(double number) {
  char text[400];
  std::snprintf(text, sizeof text, "%.1f", number);
  return text;
}

std::string short_text(double number) {
  constexpr std::array units{"", "k", "M", "G", "T"};
  std::size_t unit = 0;
  for (; number >= 9999.5 && unit + 1 != units.size(); ++unit) number /= 1000;
  char text[400];
  std::snprintf(text, sizeof text, number == 0 || (unit == 0 && number >= 100) ? "%.0f%s" : "%.1f%s", number, units[unit]);
  return text;
}

std::string hex_text(std::uint64_t number) {
  char text[24];
  std::snprintf(text, sizeof text, "%016llx", static_cast<unsigned long long>(number));
  return text;
}

std::string plural(std::uint64_t count, std::string_view what) {
  return std::to_string(count) + ' ' + std::string(what) + (count == 1 ? "" : "s");
}

}  // namespace belfry::cli
