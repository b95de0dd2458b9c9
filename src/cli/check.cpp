// belfry check: whether a channel is as it should be, as a monitoring plugin tells it.
#include "commands.hpp"
#include "findings.hpp"
#include "options.hpp"
#include "text.hpp"

#include <belfry/inspect.hpp>

#include <CLI/CLI.hpp>
#include <algorithm>
#include <iostream>
#include <memory>
#include <optional>
#include <string>
#include <system_error>
#include <vector>

namespace belfry::cli {
namespace {

/// The exit status, as monitoring systems know it.
enum class verdict { ok = 0, warning = 1, critical = 2, unknown = 3 };

const char* text_of(verdict v) {
  switch (v) {
    case verdict::ok: return "OK";
    case verdict::warning: return "WARNING";
    case verdict::critical: return "CRITICAL";
    case verdict::unknown: break;
  }
  return "UNKNOWN";
}

struct check_options {
  std::string name;
  std::optional<double> max_fill;
  std::optional<double> warn_fill;
  std::optional<std::uint64_t> producers;
  std::optional<std::uint64_t> consumers;
  bool no_dead = false;
};

/// One line. What is behind a `|` is performance data.
[[noreturn]] void say(verdict v, std::string what, const std::string& data = {}) {
  what = shown(what);
  std::ranges::replace(what, '|', '/');
  std::cout << "BELFRY " << text_of(v) << " - " << what << (data.empty() ? "" : " | " + data) << '\n';
  throw exit_with{static_cast<int>(v)};
}

std::string number_text(double number) {
  std::string text = fixed_text(number);
  if (text.ends_with(".0")) text.resize(text.size() - 2);
  return text;
}

class checker {
 public:
  explicit checker(const check_options& options) : options_(options), info_(inspect(options.name)) {}

  void check() {
    if (!is_segment(info_)) say(verdict::unknown, info_.name + " is no channel, but " + info_.kind);
    if (!info_.problem.empty()) say(verdict::critical, info_.name + ": " + info_.problem);
    fill();
    alive(participant_role::producer, "producers", options_.producers);
    alive(participant_role::consumer, "consumers", options_.consumers);
    dead();
    if (info_.roster_locked && stays_locked(info_.name))
      found(verdict::warning, "the roster stays locked: a process was stopped while it joined or left");
    traffic();
    say(worst_, info_.name + ": " + (bad_.empty() ? good_ : bad_), data_);
  }

 private:
  static void append(std::string& to, const std::string& what, const char* between) {
    to += (to.empty() ? "" : between) + what;
  }
  void found(verdict v, const std::string& what) {
    worst_ = std::max(worst_, v);
    append(v == verdict::ok ? good_ : bad_, what, ", ");
  }
  /// label=value[unit];[warning];[critical];[least];[most]
  void data(const std::string& what) { append(data_, what, " "); }

  void fill() {
    const bool wanted = options_.max_fill || options_.warn_fill;
    if (!info_.unread || info_.capacity == 0) {
      if (wanted) say(verdict::unknown, info_.name + ": how much is unread is not known");
      return;
    }
    const double percent = 100.0 * static_cast<double>(*info_.unread) / static_cast<double>(info_.capacity);
    const bool critical = options_.max_fill && percent > *options_.max_fill;
    const bool warning = options_.warn_fill && percent > *options_.warn_fill;
    const std::string most = std::to_string(info_.capacity);
    const bool bytes = info_.kind == "byte_ring";
    const char* const what = bytes ? " bytes unread (" : has_calls(info_) ? " calls (" : " unread (";
    found(critical ? verdict::critical : warning ? verdict::warning : verdict::ok,
          std::to_string(*info_.unread) + " of " + most + what + number_text(percent) + "%)");
    const auto limit = [](const std::optional<double>& l) { return l ? number_text(*l) : std::string(); };
    data("fill=" + number_text(percent) + "%;" + limit(options_.warn_fill) + ';' + limit(options_.max_fill) + ";0;100");
    data("unread=" + std::to_string(*info_.unread) + (bytes ? "B" : "") + ";;;0;" + most);
  }

  void alive(participant_role role, const std::string& label, const std::optional<std::uint64_t>& least) {
    const std::size_t n = info_.alive(role);
    const bool few = least && n < *least;
    found(few ? verdict::critical : verdict::ok,
          plural(n, role_name(role, info_)) + (few ? " of " + std::to_string(*least) : ""));
    data(label + '=' + std::to_string(n) + ";;" + (least ? std::to_string(*least) + ':' : "") + ";0");
  }

  void dead() {
    const std::size_t n = dead_participants(info_);
    if (n != 0) found(options_.no_dead ? verdict::critical : verdict::warning, plural(n, "dead participant"));
    data("dead=" + std::to_string(n) + (options_.no_dead ? ";;0;0" : ";0;;0"));
  }

  void traffic() {
    data("sent=" + std::to_string(info_.sent.messages) + 'c');
    data("received=" + std::to_string(info_.received.messages) + 'c');
    data("lost=" + std::to_string(info_.received.lost) + 'c');
    data("deaths=" + std::to_string(info_.deaths) + 'c');
  }

  const check_options& options_;
  const channel_info info_;
  verdict worst_ = verdict::ok;
  std::string good_;
  std::string bad_;
  std::string data_;
};

void check(const check_options& options) {
  std::string failed;
  try {
    checker(options).check();
  } catch (const std::system_error& e) {
    failed = e.what();
  }
  say(verdict::unknown, failed);
}

}  // namespace

int wrong_usage_of_check(const std::string& what) {
  try {
    say(verdict::unknown, what);
  } catch (const exit_with& e) {
    return e.status;
  }
}

void add_check(CLI::App& app) {
  const auto options = std::make_shared<check_options>();
  CLI::App* const command = app.add_subcommand(
      "check", "Tell in one line, as a monitoring plugin does, whether a channel is as it should be");
  command->add_option("name", options->name, "As in `belfry ls`")->required();
  command->add_option("--max-fill", options->max_fill, "Critical if more percent of the capacity are unread")
      ->check(between(0, 100))
      ->type_name("PERCENT");
  command->add_option("--warn-fill", options->warn_fill, "A warning if more percent of the capacity are unread")
      ->check(between(0, 100))
      ->type_name("PERCENT");
  command->add_option("--producers", options->producers, "Critical if fewer producers, or clients, are alive")
      ->type_name("N");
  command->add_option("--consumers", options->consumers, "Critical if fewer consumers, or servers, are alive")
      ->type_name("N");
  command->add_flag("--no-dead", options->no_dead,
                    "Critical if a participant was killed and none has cleared up behind it; otherwise a warning");
  command->footer(
      "Exit status, as of monitoring plugins and unlike that of other commands: 0 OK, 1 WARNING, 2 CRITICAL, 3 UNKNOWN: "
      "also if there is no such name, and for wrong usage. A damaged channel is CRITICAL, a roster that stays locked a "
      "WARNING.");
  command->callback([options] { check(*options); });
}

}  // namespace belfry::cli
