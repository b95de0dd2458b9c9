// belfry recv: takes messages, and prints them.
#include "channel_ends.hpp"
#include "commands.hpp"
#include "findings.hpp"
#include "options.hpp"
#include "running.hpp"
#include "streams.hpp"
#include "text.hpp"
#include "values.hpp"

#include <CLI/CLI.hpp>
#include <exception>
#include <memory>
#include <stdexcept>
#include <string>

namespace belfry::cli {
namespace {

struct recv_options {
  receiver_options from;
  value_options values;
  std::uint64_t count = 0;  // 0: no limit
  bool dead = false;
};

class receiving {
 public:
  receiving(net::io_context& io, const recv_options& options)
      : name_(options.from.name),
        count_(options.count),
        dead_(options.dead),
        rx_(io, options.from),
        out_(io),
        printer_(rx_.info(), options.values) {
    out_.on_reader_gone([this] { stop(); });
    if (dead_ && !has_dead_items(rx_.info()))
      throw std::runtime_error('"' + options.from.name + "\" is a " + rx_.info().kind + ", which has no dead items");
  }

  net::awaitable<void> run() {
    std::string why = "the reader of the output has gone";
    try {
      if (dead_) {
        co_await print_dead_items();
      } else {
        co_await print_messages();
      }
    } catch (const std::exception& e) {
      if (out_.unwritten_messages() == 0) throw;
      why = e.what();
    }
    if (const std::size_t lost = out_.unwritten_messages(); lost != 0)
      throw std::runtime_error(plural(lost, "message") + " taken from \"" + name_ + "\", and not written: " + why);
    if (rx_.is_abandoned()) throw exit_with{1};
  }

  void stop() { rx_.stop(); }

 private:
  net::awaitable<void> print_dead_items() {
    for (std::uint64_t taken = 0; !rx_.is_stopped() && (count_ == 0 || taken != count_); ++taken) {
      if (out_.is_full()) {
        const bool written = co_await out_.flush();
        if (!written) co_return;
      }
      const auto message = rx_.try_next_dead();
      if (!message) break;
      printer_.print(*message);
      out_.end_message();
    }
    co_await out_.flush();
  }
  /// Until it is stopped, has as many as it is to have, or cannot write.
  net::awaitable<void> print_messages() {
    for (std::uint64_t taken = 0; !rx_.is_stopped() && (count_ == 0 || taken != count_); ++taken) {
      if (out_.is_full()) {
        const bool written = co_await out_.flush();
        if (!written) co_return;
      }
      auto message = rx_.try_next();
      if (!message) {
        // What was taken is seen before this process sleeps.
        const bool written = co_await out_.flush();
        if (!written) co_return;
        message = co_await rx_.next();
      }
      if (!message) break;
      printer_.print(*message);
      out_.end_message();
    }
    co_await out_.flush();
  }

  std::string name_;
  std::uint64_t count_;
  bool dead_;
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
  auto* const dead = command->add_flag(
      "--dead", options->dead,
      "Take the dead items of a work_ring or byte_work_ring instead (delivered too often, or rejected), and end when there "
      "are no more");
  command->add_flag("--oldest", options->from.oldest,
                    "Of a broadcast: begin with the oldest message that is still there; default: with the next one");
  command
      ->add_flag("--until-closed", options->from.until_closed,
                 "End when the producer has left, or was killed (exit status 1); default: wait for the next one")
      ->excludes(dead);
  add_value_options(*command, options->values);
  command->footer(
      "If the output cannot be written, or its reader goes, recv says how many messages it has taken and not written, "
      "and ends with exit status 1. What the reader leaves in a pipe is lost: --count takes no more than is wanted.");
  command->callback([options] { receive(*options); });
}

}  // namespace belfry::cli
