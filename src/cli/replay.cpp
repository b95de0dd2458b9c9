// belfry replay: sends what was recorded, at the same pace.
#include "channel_ends.hpp"
#include "commands.hpp"
#include "options.hpp"
#include "pace.hpp"
#include "recording.hpp"
#include "running.hpp"
#include "same_type.hpp"

#include <CLI/CLI.hpp>
#include <memory>
#include <stdexcept>

namespace belfry::cli {
namespace {

struct replay_options {
  std::string file;
  std::string name;
  double speed = 1;
  double timeout = 0;
};

class replay_run {
 public:
  replay_run(net::io_context& io, const replay_options& options)
      : io_(io),
        speed_(options.speed),
        file_(options.file),
        tx_(io, options.name.empty() ? file_.channel().name : options.name, options.timeout),
        timer_(io) {
    check_same_type(file_.channel(), '"' + options.file + '"', tx_.info());
  }

  net::awaitable<void> run() {
    pace recorded(speed_, pace::clock::now());
    while (const auto message = file_.next()) {
      co_await sleep_until(recorded.due(message->time));
      if (message->position % 256 == 0) co_await yield_to_others(io_);
      if (tx_.is_stopped()) co_return;
      if (!tx_.try_send(message->bytes)) {
        const bool sent = co_await send(*message);
        if (!sent) co_return;
      }
    }
  }

  void stop() {
    tx_.stop();
    timer_.cancel();
  }

 private:
  net::awaitable<void> sleep_until(pace::clock::time_point due) {
    if (due <= pace::clock::now()) co_return;
    timer_.expires_at(due);
    co_await timer_.async_wait(as_result);
  }

  net::awaitable<bool> send(const recording_reader::message& message) {
    std::string why;
    try {
      co_return co_await tx_.send(message.bytes);
    } catch (const std::length_error& e) {
      why = e.what();
    }
    throw std::runtime_error("message " + std::to_string(message.position) + ": " + why);
  }

  net::io_context& io_;
  double speed_;
  recording_reader file_;
  sender tx_;
  net::steady_timer timer_;
};

void replay(const replay_options& options) {
  net::io_context io(1);
  replay_run r(io, options);
  run_until_stopped(io, r.run(), [&] { r.stop(); });
}

}  // namespace

void add_replay(CLI::App& app) {
  const auto options = std::make_shared<replay_options>();
  CLI::App* const command = app.add_subcommand(
      "replay", "Join a channel as its producer, and send what `belfry record` has written, at the recorded pace. The "
                "channel has to exist, and to have values of the recorded type");
  command->add_option("file", options->file, "Of `belfry record`")->required();
  command->add_option("name", options->name, "Of a channel, as in `belfry ls`; default: of the recorded one");
  command->add_option("--speed", options->speed, "So many times faster; 0: as fast as possible")
      ->type_name("FACTOR")
      ->check(between(0, 1e9))
      ->capture_default_str();
  command->add_option("--timeout", options->timeout, "Fail if a message cannot be sent for so many seconds")
      ->type_name("SECONDS")
      ->check(between(0.001, 1e9));
  command->callback([options] { replay(*options); });
}

}  // namespace belfry::cli
