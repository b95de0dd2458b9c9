// belfry send: sends the lines, or the bytes, of a file or of standard input.
#include "channel_ends.hpp"
#include "commands.hpp"
#include "options.hpp"
#include "progress.hpp"
#include "running.hpp"
#include "streams.hpp"
#include "text.hpp"
#include "values.hpp"

#include <CLI/CLI.hpp>
#include <algorithm>
#include <exception>
#include <memory>
#include <optional>
#include <stdexcept>
#include <string>
#include <string_view>
#include <vector>

namespace belfry::cli {
namespace {

struct send_options {
  std::string name;
  std::string file;
  bool raw = false;
  bool hex = false;
  std::size_t chunk = 0;
  double timeout = 0;
};

/// What is read from the input, one message at a time. Faults of the input are exceptions that name the place.
class message_source {
 public:
  message_source(net::io_context& io, const send_options& options, const channel_info& channel)
      : in_(io, options.file == "-" ? "" : options.file), value_bytes_(channel.value_bytes) {
    if (options.raw) {
      chunk_ = options.chunk != 0 ? options.chunk : value_bytes_;
      if (chunk_ == 0) misuse("--raw needs --chunk here: the messages of \"" + channel.name + "\" may have any size");
      if (value_bytes_ != 0 && chunk_ != value_bytes_)
        misuse("--chunk: the values of \"" + channel.name + "\" have " + plural(value_bytes_, "byte"));
      return;
    }
    hex_ = options.hex;
    if (hex_ || value_bytes_ == 0) return;
    type_ = type_of_values(channel);
    if (!type_) {
      throw std::runtime_error("the values of \"" + channel.name +
                               "\" are not described: --raw, or --hex, sends them as bytes");
    }
  }

  /// The next message; valid until the next call. None at the end.
  net::awaitable<std::optional<std::span<const std::byte>>> next() {
    if (chunk_ != 0) {
      const std::string_view bytes = co_await in_.bytes(chunk_);
      if (bytes.empty()) co_return std::nullopt;
      if (bytes.size() < chunk_ && value_bytes_ != 0) {
        throw std::runtime_error("the input ends with " + plural(bytes.size(), "byte") +
                                 ", which are no whole value of " + std::to_string(value_bytes_));
      }
      co_return std::as_bytes(std::span(bytes));
    }
    for (;;) {
      ++line_;
      const std::optional<std::string_view> line = co_await next_line();
      if (!line) co_return std::nullopt;
      // An empty line is a message only where it can be one.
      if (value_bytes_ != 0 && line->find_first_not_of(" \t\r") == std::string_view::npos) continue;
      co_return message_in(*line);
    }
  }

  /// Of the last message.
  std::string place() const { return chunk_ != 0 ? "message up to byte " + std::to_string(in_.taken()) : at_line(); }
  const input& in() const noexcept { return in_; }
  void cancel() { in_.cancel(); }

 private:
  /// Lines are read whole; a longer one is a mistake.
  static constexpr std::size_t longest_line = std::size_t{256} << 20;

  [[noreturn]] static void misuse(const std::string& what) {
    complain(what);
    throw exit_with{2};
  }
  std::string at_line() const { return "line " + std::to_string(line_); }
  [[noreturn]] void refuse(const std::string& why) const { throw std::runtime_error(at_line() + ": " + why); }

  net::awaitable<std::optional<std::string_view>> next_line() {
    std::string why;
    try {
      co_return co_await in_.line(longest_line);
    } catch (const std::length_error& e) {
      why = e.what();
    }
    refuse(why);
  }

  std::span<const std::byte> message_in(std::string_view line) {
    if (hex_) {
      bytes_ = from_hex(line);
    } else if (type_) {
      bytes_ = from_json(line);
    } else {
      return std::as_bytes(std::span(line));
    }
    return bytes_;
  }

  std::vector<std::byte> from_json(std::string_view line) const {
    try {
      return type_->from_json(line);
    } catch (const std::system_error& e) {
      // Its text ends with that of the error code, which says nothing more.
      std::string why = e.what();
      const std::string code = ": " + e.code().message();
      if (why.ends_with(code)) why.resize(why.size() - code.size());
      refuse(why);
    }
  }

  std::vector<std::byte> from_hex(std::string_view line) const {
    if (line.ends_with('\r')) line.remove_suffix(1);
    if (line.size() % 2 != 0) refuse("an odd number of hexadecimal digits");
    std::vector<std::byte> bytes;
    bytes.reserve(line.size() / 2);
    for (std::size_t i = 0; i != line.size(); i += 2)
      bytes.push_back(static_cast<std::byte>(digit(line[i]) << 4 | digit(line[i + 1])));
    if (value_bytes_ != 0 && bytes.size() != value_bytes_)
      refuse(plural(bytes.size(), "byte") + "; a value has " + std::to_string(value_bytes_));
    return bytes;
  }
  unsigned digit(char c) const {
    if (c >= '0' && c <= '9') return static_cast<unsigned>(c - '0');
    if (c >= 'a' && c <= 'f') return static_cast<unsigned>(c - 'a') + 10;
    if (c >= 'A' && c <= 'F') return static_cast<unsigned>(c - 'A') + 10;
    refuse("there is a character that is no hexadecimal digit");
  }

  input in_;
  std::uint64_t value_bytes_;
  std::size_t chunk_ = 0;  // 0: lines
  bool hex_ = false;
  std::optional<described_type> type_;
  std::uint64_t line_ = 0;
  std::vector<std::byte> bytes_;
};

class sending {
 public:
  sending(net::io_context& io, const send_options& options)
      : name_(options.name),
        tx_(io, options.name, options.timeout),
        source_(io, options, tx_.info()),
        progress_(io, options.name, source_.in().size()) {}

  net::awaitable<void> run() {
    for (;;) {
      const auto message = co_await source_.next();
      if (tx_.is_stopped()) break;
      if (!message) co_return;
      if (!tx_.try_send(*message)) {
        const bool sent = co_await send(*message);
        if (!sent) break;
      }
      sent_ = source_.in().taken();
      progress_.sent(sent_);
    }
    if (const std::uint64_t unsent = source_.in().read() - sent_; unsent != 0)
      complain(plural(unsent, "byte") + " of the input were read, and not sent to \"" + name_ + '"');
  }

  void stop() {
    tx_.stop();
    source_.cancel();
  }

 private:
  net::awaitable<bool> send(std::span<const std::byte> message) {
    std::string why;
    try {
      co_return co_await tx_.send(message);
    } catch (const std::exception& e) {
      why = e.what();
    }
    throw std::runtime_error(source_.place() + ": " + why);
  }

  std::string name_;
  sender tx_;
  message_source source_;
  progress progress_;
  std::uint64_t sent_ = 0;  // bytes of the input
};

void send_input(const send_options& options) {
  net::io_context io(1);
  sending s(io, options);
  run_until_stopped(io, s.run(), [&] { s.stop(); });
}

}  // namespace

void add_send(CLI::App& app) {
  const auto options = std::make_shared<send_options>();
  CLI::App* const command = app.add_subcommand(
      "send", "Join a channel as a producer, and send what a file or standard input says: a line of JSON a value, or "
              "of text a message. Waits while the ring is full. Ends when everything is in the ring");
  command->add_option("name", options->name, "Of a channel, as in `belfry ls`")->required();
  command->add_option("file", options->file, "Default, and -: standard input");
  auto* const raw = command->add_flag("--raw", options->raw, "The input is the bytes of the values");
  command->add_flag("--hex", options->hex, "A line has the hexadecimal digits of a message")->excludes(raw);
  command->add_option("--chunk", options->chunk, "With --raw, for messages of any size: so many bytes a message")
      ->needs(raw)
      ->check(CLI::PositiveNumber);
  command->add_option("--timeout", options->timeout, "Fail if a message cannot be sent for so many seconds")
      ->type_name("SECONDS")
      ->check(between(0.001, 1e9));
  command->callback([options] { send_input(*options); });
}

}  // namespace belfry::cli
