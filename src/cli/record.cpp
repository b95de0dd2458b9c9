// belfry record: takes messages, and writes them to a file.
#include "channel_ends.hpp"
#include "commands.hpp"
#include "recording.hpp"
#include "running.hpp"
#include "same_type.hpp"
#include "text.hpp"

#include <CLI/CLI.hpp>
#include <chrono>
#include <cstddef>
#include <cstdint>
#include <exception>
#include <iostream>
#include <memory>
#include <optional>
#include <span>
#include <stdexcept>
#include <string>

namespace belfry::cli {
namespace {

struct record_options {
  receiver_options from;
  std::string file;
  std::string tee;
  bool force = false;
};

/// Every consumer gets each value: recording takes nothing from another one.
bool is_broadcast(const std::string& kind) {
  return kind == "broadcast_ring" || kind == "byte_broadcast_ring" || kind == "latest";
}

class record_run {
 public:
  record_run(net::io_context& io, const record_options& options)
      : io_(io), from_(options.from.name), rx_(io, options.from), commit_timer_(io) {
    const recorded_channel channel = recorded(rx_.info());
    if (!options.tee.empty()) {
      if (options.tee == options.from.name) throw std::runtime_error("--tee: another channel than the recorded one");
      tee_.emplace(io, options.tee, 0);
      check_same_type(channel, '"' + options.from.name + '"', tee_->info());
    } else if (!is_broadcast(channel.kind)) {
      throw std::runtime_error('"' + options.from.name + "\" is of the kind " + channel.kind +
                               ": what is recorded is taken from its consumers; --tee OTHER passes it on");
    }
    file_.emplace(options.file, channel, options.force);
  }

  net::awaitable<void> run() {
    try {
      co_await take_messages();
      if (failed_) std::rethrow_exception(failed_);
      note_losses();
      file_->close();
    } catch (const std::exception& e) {
      const std::uint64_t kept = file_->salvage();
      throw std::runtime_error(std::string(e.what()) + "; of " + plural(taken_, "message") + " taken from \"" + from_ +
                               "\", " + std::to_string(kept) + (kept == 1 ? " is" : " are") + " in the file" +
                               (tee_ ? ", and " + std::to_string(passed_on_) + " passed on" : ""));
    }
    std::cout << plural(file_->messages(), "message");
    if (file_->lost() != 0) std::cout << ", " << file_->lost() << " lost";
    std::cout << '\n';
    if (rx_.is_abandoned()) throw exit_with{1};
  }

  void stop() {
    rx_.stop();
    if (waits_for_room_) tee_->stop();
    if (passing_on_) tell_passing_on();
  }

 private:
  net::awaitable<void> take_messages() {
    while (!rx_.is_stopped()) {
      // A message is taken only when it can be passed on.
      if (tee_) {
        commit_later();
        waits_for_room_ = true;
        const bool room = co_await tee_->wait_for_room();
        waits_for_room_ = false;
        if (!room || rx_.is_stopped()) break;
      }
      auto message = rx_.try_next();
      if (!message) {
        commit_later();
        message = co_await rx_.next();
      }
      if (!message) break;
      ++taken_;
      keep(*message);
      if (tee_) co_await pass_on(*message);
      if (taken_ % 256 == 0) co_await yield_to_others(io_);
    }
  }

  /// If that fails, nothing more is taken.
  void keep(std::span<const std::byte> message) {
    if (failed_) return;  // while this message was awaited
    try {
      note_losses();
      file_->add(std::chrono::steady_clock::now() - began_, message);
    } catch (const std::exception&) {
      fail();
    }
  }

  /// Another producer may have taken the room. A message that was taken is passed on even if this command is to end.
  net::awaitable<void> pass_on(std::span<const std::byte> message) {
    if (!tee_->try_send(message)) {
      passing_on_ = true;
      if (rx_.is_stopped() && !failed_) tell_passing_on();
      commit_later();
      co_await tee_->send(message);
      passing_on_ = false;
    }
    ++passed_on_;
  }
  static void tell_passing_on() { complain("a message is still to be passed on; another Ctrl-C discards it"); }

  void note_losses() {
    if (const std::uint64_t lost = rx_.new_losses(); lost != 0) file_->add_loss(lost);
  }

  void commit_later() {
    if (!file_->is_pending() || commit_is_due_) return;
    commit_is_due_ = true;
    commit_timer_.expires_after(recording_writer::longest);
    commit_timer_.async_wait([this](const error_code& ec) {
      if (ec) return;
      commit_is_due_ = false;
      if (failed_) return;
      try {
        file_->commit();
      } catch (const std::exception&) {
        fail();
      }
    });
  }

  /// In a handler of an exception.
  void fail() {
    failed_ = std::current_exception();
    rx_.stop();
    if (waits_for_room_) tee_->stop();
  }

  net::io_context& io_;
  const std::chrono::steady_clock::time_point began_ = std::chrono::steady_clock::now();
  const std::string from_;
  receiver rx_;
  std::optional<sender> tee_;
  std::optional<recording_writer> file_;
  net::steady_timer commit_timer_;
  std::uint64_t taken_ = 0;
  std::uint64_t passed_on_ = 0;
  std::exception_ptr failed_;  // why the file cannot be written
  bool commit_is_due_ = false;
  bool waits_for_room_ = false;
  bool passing_on_ = false;
};

void record(const record_options& options) {
  net::io_context io(1);
  record_run r(io, options);
  run_until_stopped(io, r.run(), [&] { r.stop(); });
}

}  // namespace

void add_record(CLI::App& app) {
  const auto options = std::make_shared<record_options>();
  CLI::App* const command = app.add_subcommand(
      "record", "Join a channel as a consumer, and write its messages to a file (SQLite), until Ctrl-C. "
                "`belfry replay` sends them again");
  command->add_option("name", options->from.name, "Of a channel, as in `belfry ls`")->required();
  command->add_option("file", options->file, "A new file")->required();
  command->add_option("--tee", options->tee,
                      "Pass each message on to this channel, of the same type: needed for all but broadcasts, where a "
                      "message goes to one consumer only")
      ->type_name("OTHER");
  command->add_flag("--force", options->force, "Replace a file that exists");
  command->add_flag("--oldest", options->from.oldest,
                    "Of a broadcast: begin with the oldest message that is still there; default: with the next one");
  command->add_flag("--until-closed", options->from.until_closed,
                    "End when the producer has left, or was killed (exit status 1); default: wait for the next one");
  command->footer(
      "Messages are written in batches: of at most 1000, 1 MiB, or 100 milliseconds. If the file cannot be written any "
      "more, as on a full disk, recording ends with exit status 1, and says how many of the messages it has taken are "
      "in the file: those `belfry replay` sends, as long as FILE-wal stays beside it. With --tee, all that were taken "
      "are passed on even then.");
  command->callback([options] { record(*options); });
}

}  // namespace belfry::cli
