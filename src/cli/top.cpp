// belfry top: what passes through all channels, now.
#include "../platform/tool.hpp"
#include "commands.hpp"
#include "findings.hpp"
#include "options.hpp"
#include "rates.hpp"
#include "text.hpp"

#include <belfry/inspect.hpp>

#include <CLI/CLI.hpp>
#include <algorithm>
#include <array>
#include <chrono>
#include <cmath>
#include <cstdint>
#include <ctime>
#include <functional>
#include <iostream>
#include <memory>
#include <optional>
#include <span>
#include <sstream>
#include <string>
#include <utility>
#include <vector>

namespace belfry::cli {
namespace {

using clock = std::chrono::steady_clock;
using call = platform::attention::call;

struct top_options {
  double interval = 1;
  std::uint64_t count = 0;
};

struct channel_row {
  segment_entry entry;
  std::optional<rates> now;  ///< none when it was seen for the first time
};

std::optional<double> fill_of(const segment_entry& e) {
  if (!e.unread || e.capacity == 0 || e.kind == "latest") return {};
  return std::min(1.0, static_cast<double>(*e.unread) / static_cast<double>(e.capacity));
}

struct order {
  const char* name;
  std::function<double(const channel_row&)> key;  ///< the highest first; none: by name
};
const std::array orders{
    order{"name", {}},
    order{"messages", [](const channel_row& r) { return r.now ? r.now->sent.messages : -1; }},
    order{"bytes", [](const channel_row& r) { return r.now ? r.now->sent.bytes : -1; }},
    order{"fill", [](const channel_row& r) { return fill_of(r.entry).value_or(-1); }},
    order{"deaths", [](const channel_row& r) { return static_cast<double>(r.entry.deaths); }},
};

cell bar_of(const segment_entry& e) {
  const std::optional<double> fill = fill_of(e);
  if (!fill) return "-";
  constexpr std::size_t width = 10;
  const auto full = static_cast<std::size_t>(std::ceil(*fill * width));  // one for a single value
  std::string text = '[' + std::string(full, '#') + std::string(width - full, ' ') + ']';
  const std::string percent = std::to_string(std::lround(*fill * 100)) + '%';
  text += std::string(5 - percent.size(), ' ') + percent;
  const tone colour = e.overwrites || *fill < 0.8 ? tone::plain : *fill < 1 ? tone::warning : tone::bad;
  return {text, colour};
}

std::string awake_text(const segment_entry& e) {
  const auto awake =
      std::ranges::count_if(e.participants, [](const participant_info& p) { return p.alive && !p.parked; });
  return std::to_string(awake) + '/' + std::to_string(e.alive());
}

/// All channels, and what has passed since the last look.
class board {
 public:
  void look() {
    std::vector<segment_entry> all = list_segments(inspection::counters);
    std::erase_if(all, [](const segment_entry& e) { return !is_channel(e); });
    const clock::time_point at = clock::now();
    std::vector<channel_row> rows;
    auto before = rows_.begin();  // both are in the order of their names
    for (segment_entry& e : all) {
      while (before != rows_.end() && before->entry.name < e.name) ++before;
      const bool known = before != rows_.end() && before->entry.name == e.name && before->entry.id == e.id;
      std::optional<rates> now;
      if (known) now = rates_between(before->entry, e, at - at_);
      rows.push_back({std::move(e), now});
    }
    rows_ = std::move(rows);
    at_ = at;
  }

  std::size_t channels() const { return rows_.size(); }
  const char* order_name() const { return orders[order_].name; }
  void next_order() { order_ = (order_ + 1) % orders.size(); }

  /// At most so many lines.
  void print(std::ostream& out, std::size_t width, std::size_t most) const {
    std::vector<const channel_row*> sorted;
    for (const channel_row& r : rows_) sorted.push_back(&r);
    if (const auto& key = orders[order_].key)
      std::ranges::stable_sort(sorted, [&](const channel_row* a, const channel_row* b) { return key(*a) > key(*b); });
    const bool all = sorted.size() < most;
    const std::size_t shown_rows = all ? sorted.size() : most - std::min<std::size_t>(most, 2);
    table rows({"NAME", "KIND", ">MSG/S", ">BYTES/S", "FILL", ">PROD", ">CONS", ">AWAKE", ">RINGS/S",
                ">DEATHS"});
    for (const channel_row* r : std::span(sorted).first(shown_rows)) rows.add(cells_of(*r));
    rows.print(out, "", width);
    if (!all) out << cut("… and " + std::to_string(sorted.size() - shown_rows) + " more", width) << '\n';
  }

 private:
  static std::vector<cell> cells_of(const channel_row& r) {
    const segment_entry& e = r.entry;
    const auto rate = [&](double number) { return r.now ? short_text(number) : std::string("-"); };
    const rates now = r.now.value_or(rates());
    return {shown(e.name),
            e.problem.empty() ? cell(e.kind) : cell("damaged", tone::bad),
            rate(now.sent.messages),
            r.now ? size_text(static_cast<std::uint64_t>(std::llround(now.sent.bytes))) : "-",
            bar_of(e),
            std::to_string(e.alive(participant_role::producer)),
            std::to_string(e.alive(participant_role::consumer)),
            awake_text(e),
            rate(now.rings),
            {std::to_string(e.deaths), dead_participants(e) != 0 ? tone::warning : tone::plain}};
  }

  std::vector<channel_row> rows_;
  clock::time_point at_;
  std::size_t order_ = 0;
};

/// The alternate screen, without a cursor, and without wrapping; and keys, one by one.
class screen {
 public:
  screen() { platform::write_to_terminal("\x1b[?1049h\x1b[?25l\x1b[?7l"); }
  screen(const screen&) = delete;
  screen& operator=(const screen&) = delete;
  ~screen() { platform::write_to_terminal("\x1b[?7h\x1b[?25h\x1b[?1049l"); }

  /// False if the terminal is gone.
  bool draw(const board& b) {
    platform::terminal_size size = platform::size_of_terminal();
    if (size.columns == 0) size.columns = 80;
    if (size.rows == 0) size.rows = 24;
    std::ostringstream lines;
    std::tm local{};
    char time[16] = "";
    if (platform::local_time(std::time(nullptr), local)) std::strftime(time, sizeof time, "%H:%M:%S", &local);
    lines << coloured(cut("belfry top  " + std::string(time) + "  " + plural(b.channels(), "channel") + " by " +
                              b.order_name() + "   s: another order  q: quit",
                          size.columns),
                      tone::title)
          << '\n';
    if (size.rows > 2) b.print(lines, size.columns, size.rows - 1);
    std::string text = "\x1b[H";
    std::size_t left = size.rows;
    std::istringstream in(lines.str());
    for (std::string line; left != 0 && std::getline(in, line); --left)
      text += (left == size.rows ? "" : "\r\n") + line + "\x1b[K";
    return platform::write_to_terminal(text + "\x1b[J");
  }
  platform::keyboard keys;
};

/// Whether to go on.
bool obey(char key, board& b, bool& keys) {
  if (key == '\0') keys = false;  // the end of the input
  if (key == 's' || key == 'S') b.next_order();
  return key != 'q' && key != 'Q';
}

void show(const top_options& options, clock::duration interval) {
  platform::attention attention;
  board b;
  b.look();
  std::optional<screen> s(std::in_place);
  bool keys = s->keys.usable();
  clock::time_point next = clock::now() + interval;
  for (std::uint64_t n = 0; options.count == 0 || n != options.count;) {
    if (!s->draw(b)) return;
    switch (attention.wait_until(next, keys)) {
      case call::end: return;
      case call::resized: break;
      case call::suspend:
        s.reset();
        attention.suspend();
        s.emplace();
        break;
      case call::key:
        if (!obey(s->keys.read(), b, keys)) return;
        break;
      case call::timeout:
        b.look();
        next = std::max(next + interval, clock::now());
        ++n;
        break;
    }
  }
}

void print_tables(const top_options& options, clock::duration interval) {
  platform::attention attention;
  board b;
  b.look();
  clock::time_point next = clock::now();
  for (std::uint64_t n = 0; (options.count == 0 || n != options.count) && std::cout; ++n) {
    next = std::max(next + interval, clock::now());
    if (!attention.sleep_until(next)) return;
    b.look();
    if (n != 0) std::cout << '\n';
    b.print(std::cout, line_width(), SIZE_MAX);
    std::cout.flush();
  }
}

void top(const top_options& options) {
  const auto interval = std::chrono::duration_cast<clock::duration>(std::chrono::duration<double>(options.interval));
  if (platform::is_screen())
    show(options, interval);
  else
    print_tables(options, interval);
}

}  // namespace

void add_top(CLI::App& app) {
  const auto options = std::make_shared<top_options>();
  CLI::App* const command = app.add_subcommand(
      "top", "Show what passes through all channels: live, or without a terminal a table after each interval");
  add_interval_options(*command, options->interval, options->count);
  command->footer(
      "Keys: s sorts by name, messages, bytes, fill, or deaths; q quits. MSG/S and BYTES/S are sent; FILL is what is "
      "unread; PROD and CONS are the living producers and consumers, AWAKE how many of them do not sleep; RINGS/S is how "
      "often they wake each other.");
  command->callback([options] { top(*options); });
}

}  // namespace belfry::cli
