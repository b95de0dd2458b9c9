// belfry metrics: what there is, for Prometheus and its relatives, in OpenMetrics' text format.
#include "../base/utf8.hpp"
#include "../platform/tool.hpp"
#include "commands.hpp"
#include "rates.hpp"
#include "text.hpp"

#include <belfry/inspect.hpp>

#include <CLI/CLI.hpp>
#include <iostream>
#include <memory>
#include <optional>
#include <set>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

namespace belfry::cli {
namespace {

/// A label's value: UTF-8, with three characters escaped.
std::string label_text(const std::string& text) {
  std::string value = "\"";
  for (const char c : is_utf8(text) ? text : shown(text)) {
    if (c == '\n') {
      value += "\\n";
      continue;
    }
    if (c == '"' || c == '\\') value += '\\';
    value += c;
  }
  return value += '"';
}

struct labelled {
  channel_info info;
  std::string labels;
};

/// The families of metrics, one after the other: the lines of a family have to be together.
class exposition {
 public:
  explicit exposition(std::vector<labelled> channels) : channels_(std::move(channels)) {}

  /// What only grows. Its lines end with _total.
  void counter(const std::string& name, const char* help, const char* unit = nullptr) {
    begin(name, "counter", help, unit);
    suffix_ = "_total";
  }
  void gauge(const std::string& name, const char* help, const char* unit = nullptr) {
    begin(name, "gauge", help, unit);
    suffix_ = "";
  }
  /// A line for every channel.
  template <class Value>
  void lines(const std::string& more_labels, Value value) {
    for (const labelled& c : channels_) line(c.labels + (more_labels.empty() ? "" : ',' + more_labels), value(c.info));
  }
  void line(const std::string& labels, std::uint64_t value) {
    text_ += name_ + suffix_ + (labels.empty() ? "" : '{' + labels + '}') + ' ' + std::to_string(value) + '\n';
  }
  void line(const std::string& labels, const std::optional<std::uint64_t>& value) {
    if (value) line(labels, *value);
  }

  std::string end() && { return std::move(text_ += "# EOF\n"); }

 private:
  void begin(const std::string& name, const char* type, const char* help, const char* unit) {
    name_ = name;
    text_ += "# TYPE " + name + ' ' + type + '\n';
    if (unit != nullptr) text_ += "# UNIT " + name + ' ' + unit + '\n';
    text_ += "# HELP " + name + ' ' + help + '\n';
  }

  const std::vector<labelled> channels_;
  std::string text_;
  std::string name_;
  const char* suffix_ = "";
};

std::string metrics_text() {
  std::vector<labelled> channels;
  std::set<std::string> seen;  // two names that are no UTF-8 may be shown alike
  std::uint64_t problems = 0;
  for (segment_entry& e : list_segments()) {
    problems += is_channel(e) && !e.problem.empty();
    if (!is_channel(e) || !e.problem.empty()) continue;
    std::string labels = "channel=" + label_text(e.name) + ",kind=" + label_text(e.kind);
    if (seen.insert(labels).second) channels.push_back({std::move(e), std::move(labels)});
  }

  using info = const channel_info&;
  const std::string sent = "direction=\"sent\"";
  const std::string received = "direction=\"received\"";
  exposition out(std::move(channels));
  out.counter("belfry_messages", "Messages sent by all producers, and received by all consumers.");
  out.lines(sent, [](info i) { return i.sent.messages; });
  out.lines(received, [](info i) { return i.received.messages; });
  out.counter("belfry_bytes", "Bytes of these messages.", "bytes");
  out.lines(sent, [](info i) { return i.sent.bytes; });
  out.lines(received, [](info i) { return i.received.bytes; });
  out.counter("belfry_lost", "Messages that were overwritten before a consumer received them.");
  out.lines(sent, [](info i) { return i.sent.lost; });
  out.lines(received, [](info i) { return i.received.lost; });
  out.gauge("belfry_unread", "Messages that no consumer has received; of a byte_ring their bytes.");
  out.lines("", [](info i) { return i.unread; });
  out.gauge("belfry_dead", "Dead items of a work_ring or byte_work_ring: delivered too often, or rejected.");
  out.lines("", [](info i) { return i.dead; });
  out.counter("belfry_dropped", "Dead items that producers have dropped for lack of room.");
  out.lines("", [](info i) { return i.dropped; });
  out.gauge("belfry_capacity", "How many messages have room; of a byte_ring how many bytes.");
  out.lines("", [](info i) { return i.capacity; });
  out.gauge("belfry_participants", "Participants that are alive.");
  out.lines("role=\"producer\"", [](info i) { return std::uint64_t{i.alive(participant_role::producer)}; });
  out.lines("role=\"consumer\"", [](info i) { return std::uint64_t{i.alive(participant_role::consumer)}; });
  out.counter("belfry_joins", "Participants that have joined.");
  out.lines("", [](info i) { return i.joins; });
  out.counter("belfry_deaths", "Participants that were killed, as far as others have noticed.");
  out.lines("", [](info i) { return i.deaths; });
  out.gauge("belfry_file_bytes", "Size of the channel in shared memory.", "bytes");
  out.lines("", [](info i) { return i.bytes; });
  out.gauge("belfry_problems", "Channels that are damaged, and not told of above.");
  out.line("", problems);
  return std::move(out).end();
}

void metrics(const std::string& file) {
  const std::string text = metrics_text();
  if (file.empty()) {
    std::cout << text;
    return;
  }
  detail::failure f;
  if (!platform::replace_file(file, text, f)) f.raise();
}

}  // namespace

void add_metrics(CLI::App& app) {
  const auto file = std::make_shared<std::string>();
  CLI::App* const command = app.add_subcommand(
      "metrics", "Tell what passes through all channels, and how they are, in the text format of OpenMetrics");
  command->add_option("--output", *file, "Into this file, in one step, as textfile collectors need it")
      ->type_name("FILE");
  command->footer("Counters begin anew when a channel is made anew.");
  command->callback([file] { metrics(*file); });
}

}  // namespace belfry::cli
