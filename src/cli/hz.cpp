// belfry hz and bw: how much passes through a channel, from its own counters.
#include "../platform/tool.hpp"
#include "commands.hpp"
#include "json.hpp"
#include "options.hpp"
#include "rates.hpp"
#include "text.hpp"

#include <belfry/inspect.hpp>

#include <CLI/CLI.hpp>
#include <chrono>
#include <cmath>
#include <iostream>
#include <memory>
#include <stdexcept>
#include <string>
#include <system_error>

namespace belfry::cli {
namespace {

using clock = std::chrono::steady_clock;

enum class measure { messages, bytes };

struct hz_options {
  std::string name;
  double interval = 1;
  std::uint64_t count = 0;
  bool json = false;
};

std::string lost_text(const rates& r) { return ", " + std::to_string(r.lost) + " lost"; }

std::string text_of(const rates& r, measure what) {
  if (what == measure::messages)
    return fixed_text(r.sent.messages) + " sent/s, " + fixed_text(r.received.messages) + " received/s" + lost_text(r);
  std::string text = size_text(std::llround(r.sent.bytes)) + " sent/s, " + size_text(std::llround(r.received.bytes)) +
                     " received/s";
  if (r.sent.messages > 0) text += ", " + fixed_text(r.sent.bytes / r.sent.messages) + " bytes a message";
  return text + lost_text(r);
}

/// One channel, looked at again and again.
class observer {
 public:
  observer(const hz_options& options, measure what)
      : options_(options), what_(what), before_(inspect(options.name, inspection::counters)), at_(clock::now()) {
    require_channel(before_);
  }

  /// Prints a line about the time since the last look.
  void look() {
    error_code ec;
    channel_info now = inspect(options_.name, ec, inspection::counters);
    const clock::time_point at = clock::now();
    if (ec == std::errc::no_such_file_or_directory) {
      before_ = {};
      return tell("gone");
    }
    if (ec) throw std::system_error(ec, "inspect \"" + options_.name + '"');
    require_channel(now);
    const bool same = !before_.name.empty() && now.id == before_.id;
    const rates r = same ? rates_between(before_, now, at - at_) : rates();
    const double seconds = std::chrono::duration<double>(at - at_).count();
    before_ = std::move(now);
    at_ = at;
    if (!same) return tell("made anew");
    if (options_.json) {
      say(rate_line{"counted", seconds, what_ == measure::messages ? r.sent.messages : r.sent.bytes,
                    what_ == measure::messages ? r.received.messages : r.received.bytes, r.lost});
    } else {
      say(text_of(r, what_));
    }
  }

 private:
  void tell(const char* event) {
    if (options_.json)
      say(rate_line{event, {}, {}, {}, {}});
    else
      say(event);
  }
  void say(const rate_line& line) {
    std::cout << json_of(line, options_.name, what_ == measure::bytes) << std::endl;
  }
  void say(const std::string& text) { std::cout << shown(options_.name) << ": " << text << std::endl; }

  const hz_options& options_;
  const measure what_;
  channel_info before_;
  clock::time_point at_;
};

void measure_rates(const hz_options& options, measure what) {
  observer o(options, what);
  platform::attention attention;
  const auto interval = std::chrono::duration_cast<clock::duration>(std::chrono::duration<double>(options.interval));
  clock::time_point next = clock::now();
  for (std::uint64_t n = 0; options.count == 0 || n != options.count; ++n) {
    next += interval;
    if (!attention.sleep_until(next)) return;
    next = std::max(next, clock::now() - interval);  // it was suspended
    o.look();
    if (!std::cout) return;  // main() tells
  }
}

void add(CLI::App& app, const char* name, const char* what, measure measured) {
  const auto options = std::make_shared<hz_options>();
  CLI::App* const command = app.add_subcommand(name, what);
  command->add_option("name", options->name, "As in `belfry ls`")->required();
  add_interval_options(*command, options->interval, options->count);
  command->add_flag("--json", options->json, "One JSON object a line");
  command->footer(
      "Says so if the channel is gone, or another one has its name, and continues. Of a broadcast_ring or latest, "
      "`received` is the sum of all consumers.");
  command->callback([options, measured] { measure_rates(*options, measured); });
}

}  // namespace

void add_hz(CLI::App& app) {
  add(app, "hz", "Tell how many messages a second are sent and received in a channel", measure::messages);
}
void add_bw(CLI::App& app) {
  add(app, "bw", "Tell how many bytes a second are sent and received in a channel", measure::bytes);
}

}  // namespace belfry::cli
