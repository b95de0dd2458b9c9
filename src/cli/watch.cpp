// belfry watch: a line per change of a block.
#include "../platform/tool.hpp"
#include "commands.hpp"
#include "findings.hpp"
#include "options.hpp"
#include "running.hpp"
#include "streams.hpp"
#include "text.hpp"

#include <belfry/inspect.hpp>
#include <belfry/shared_memory.hpp>
#include <belfry/watch.hpp>

#include <CLI/CLI.hpp>
#include <array>
#include <cstdio>
#include <ctime>
#include <iostream>
#include <memory>
#include <nlohmann/json.hpp>
#include <stdexcept>
#include <string>
#include <vector>

namespace belfry::cli {
namespace {

struct watch_options {
  std::string name;
  std::uint64_t count = 0;
  double timeout = 0;
  bool json = false;
};

/// What has changed since the last line.
struct change {
  std::uint64_t version = 0;
  std::uint64_t notifications = 0;
  bool whole = false;                 ///< the block, without saying which elements
  std::vector<std::size_t> elements{};  ///< empty: it cannot be told
  std::chrono::system_clock::time_point when;
};

shared_memory block_to_watch(const std::string& name) {
  error_code ec;
  const channel_info found = inspect(name, ec);
  // On Windows a block is no file, so that inspect() does not find it. If there is none, opening it says so.
  if (ec && ec != std::errc::no_such_file_or_directory) inspect(name);  // throws, with a text
  if (!ec && is_segment(found)) throw std::runtime_error('"' + name + "\" is no block, but of the kind " + found.kind);
  return shared_memory::open(name, access::read_only);
}

std::string text_of(const change& c) {
  const std::time_t seconds = std::chrono::system_clock::to_time_t(c.when);
  const auto micro = duration_cast<std::chrono::microseconds>(c.when.time_since_epoch()).count() % 1'000'000;
  std::tm local{};
  std::array<char, 32> time{};
  if (platform::local_time(seconds, local)) std::strftime(time.data(), time.size(), "%H:%M:%S", &local);
  std::array<char, 16> fraction{};
  std::snprintf(fraction.data(), fraction.size(), ".%06d", static_cast<int>(micro));
  std::string text = std::string(time.data()) + fraction.data() + "  version " + std::to_string(c.version);
  if (c.notifications > 1) text += ", " + plural(c.notifications, "change");
  if (c.whole) return text + ", the block";
  for (const std::size_t element : c.elements)
    text += (element == c.elements.front() ? (c.elements.size() == 1 ? ", element " : ", elements ") : " ") +
            std::to_string(element);
  return text;
}

std::string json_of(const change& c) {
  nlohmann::ordered_json object{
      {"version", c.version},
      {"changes", c.notifications},
      {"elements", c.elements.empty() ? nlohmann::ordered_json() : nlohmann::ordered_json(c.elements)},
      {"time", std::chrono::duration<double>(c.when.time_since_epoch()).count()}};
  return object.dump();
}

class watching {
 public:
  watching(net::io_context& io, const watch_options& options)
      : io_(io),
        options_(options),
        watch_(io, block_to_watch(options.name)),
        limit_(io, options.timeout, [this] { watch_.cancel(); }),
        out_(io) {
    out_.on_reader_gone([this] { stop(); });
  }

  net::awaitable<void> run() {
    std::uint64_t seen = watch_.version();
    for (std::uint64_t printed = 0; options_.count == 0 || printed != options_.count; ++printed) {
      limit_.begin();
      const auto [ec, version] = co_await watch_.async_changed(seen, as_result);
      limit_.end();
      if (limit_.has_expired()) throw std::runtime_error("no change of \"" + options_.name + "\" " + limit_.text());
      if (stopped_) co_return;
      if (ec) throw std::system_error(detail::from_net(ec), "watch \"" + options_.name + '"');
      const change c = co_await look(seen, version);
      seen = c.version;
      std::cout << (options_.json ? json_of(c) : text_of(c)) << '\n';
      const bool written = co_await out_.flush();
      if (!written || stopped_) co_return;
    }
  }

  void stop() {
    stopped_ = true;
    watch_.cancel();
    out_.cancel();
  }

 private:
  /// Which elements have changed. A notifier raises the version first: it may not have said yet what it is about.
  net::awaitable<change> look(std::uint64_t seen, std::uint64_t version) {
    change c;
    for (int attempts = 0; attempts != 10; ++attempts) {
      c = {.version = version, .notifications = version - seen, .when = std::chrono::system_clock::now()};
      c.whole = watch_.changed_since(seen, {});
      for (std::size_t element = 0; element != basic_watch<>::exact_elements && !c.whole; ++element) {
        if (watch_.changed_since(seen, std::array{element})) c.elements.push_back(element);
      }
      version = watch_.version();
      if (version == c.version && (c.whole || !c.elements.empty())) break;
      net::steady_timer pause(io_, std::chrono::milliseconds(1));
      co_await pause.async_wait(as_result);
    }
    co_return c;
  }

  net::io_context& io_;
  const watch_options& options_;
  watch watch_;
  time_limit limit_;
  output out_;
  bool stopped_ = false;
};

void watch_block(const watch_options& options) {
  net::io_context io(1);
  watching w(io, options);
  run_until_stopped(io, w.run(), [&] { w.stop(); });
}

}  // namespace

void add_watch(CLI::App& app) {
  const auto options = std::make_shared<watch_options>();
  CLI::App* const command = app.add_subcommand(
      "watch", "Print a line per change of a block: the version, and the elements that have changed, as far as its "
               "notifier has named them. Changes that come faster share a line. Until Ctrl-C");
  command->add_option("name", options->name, "Of a block, as in `belfry ls`")->required();
  command->add_option("--count", options->count, "End after so many lines")->check(CLI::PositiveNumber);
  command->add_option("--timeout", options->timeout, "Fail if nothing changes for so many seconds")
      ->type_name("SECONDS")
      ->check(between(0.001, 1e9));
  command->add_flag("--json", options->json, "One JSON object a line");
  command->callback([options] { watch_block(*options); });
}

}  // namespace belfry::cli
