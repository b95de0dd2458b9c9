// belfry recv: takes messages, and prints them.
#include "channel_ends.hpp"
#include "commands.hpp"
#include "options.hpp"
#include "running.hpp"
#include "streams.hpp"
#include "values.hpp"

#include <CLI/CLI.hpp>
#include <memory>

namespace belfry::cli {
namespace {

struct recv_options {
  receiver_options from;
  value_options values;
  std::uint64_t count = 0;  // 0: no limit
};

class receiving {
 public:
  receiving(net::io_context& io, const recv_options& options)
      : count_(options.count), rx_(io, options.from), out_(io), printer_(rx_.info(), options.values) {
    out_.on_reader_gone([this] { stop(); });
  }

  net::awaitable<void> run() {
    for (std::uint64_t taken = 0; !rx_.is_stopped() && (count_ == 0 || taken != count_); ++taken) {
      auto message = rx_.try_next();
      // What was taken is seen before this process sleeps.
      if (!message || out_.is_full()) {
        const bool written = co_await out_.flush();
        if (!written) co_return;
      }
      if (!message) message = co_await rx_.next();
      if (!message) break;
      printer_.print(*message);
    }
    co_await out_.flush();
    if (rx_.is_abandoned()) throw exit_with{1};
  }

  void stop() { rx_.stop(); }

 private:
  std::uint64_t count_;
  receiver rx_;
  output out_;
  value_printer printer_;
};

void receive(const recv_options& options) {
  net::io_context io(1);
  receiving r(io, options);
  run_until_stopped(io, r.run(), [&] { r.stop(); });
}

}  // namespace

void add_recv(CLI::App& app) {
  const auto options = std::make_shared<recv_options>();
  CLI::App* const command = app.add_subcommand(
      "recv", "Join a channel as a consumer, take its messages, and print them; until Ctrl-C, or until the reader of "
              "the output has gone. (`belfry peek` takes nothing.)");
  command->add_option("name", options->from.name, "Of a channel, as in `belfry ls`")->required();
  auto* const count =
      command->add_option("--count", options->count, "End after so many messages")->check(CLI::PositiveNumber);
  command->add_flag_callback("--once", [options] { options->count = 1; }, "End after one message")->excludes(count);
  command->add_option("--timeout", options->from.timeout, "Fail if nothing comes for so many seconds")
      ->type_name("SECONDS")
      ->check(between(0.001, 1e9));
  command->add_flag("--oldest", options->from.oldest,
                    "Of a broadcast: begin with the oldest message that is still there; default: with the next one");
  command->add_flag("--until-closed", options->from.until_closed,
                    "End when the producer has left, or was killed (exit status 1); default: wait for the next one");
  add_value_options(*command, options->values);
  command->callback([options] { receive(*options); });
}

}  // namespace belfry::cli
