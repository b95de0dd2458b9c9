// Input and output of commands that also wait for a channel: no read or write holds up the other handlers of the
// context, and what is written is seen at once.
#pragma once

#include "../platform/tool.hpp"
#include "stream.hpp"

#include <belfry/asio.hpp>

#include <cstddef>
#include <cstdint>
#include <deque>
#include <memory>
#include <optional>
#include <streambuf>
#include <string>
#include <string_view>
#include <vector>

namespace belfry::cli {

/// Standard output. While this object exists, what is written to std::cout is kept for the next flush().
class output : private std::streambuf {
 public:
  explicit output(net::io_context& io);
  output(const output&) = delete;
  output& operator=(const output&) = delete;
  ~output() override;

  bool is_full() const noexcept { return pending_.size() >= enough; }
  /// What has come since the last call is one message.
  void end_message() { ends_.push_back(written_ + pending_.size()); }
  /// How many messages have not been written to their end.
  std::size_t unwritten_messages() const noexcept { return ends_.size(); }
  /// Writes what is pending. False: the reader has gone, or the wait was cancelled; then the rest is still pending.
  /// Another failure is an exception.
  net::awaitable<bool> flush();
  /// Ends a wait for the reader.
  void cancel();
  /// Calls the handler when the reader has gone, at most once; not after cancel().
  template <class Handler>
  void on_reader_gone(Handler handler) {
    stream_.on_hung_up(std::move(handler));
  }

 private:
  static constexpr std::size_t enough = 64 << 10;

  std::streamsize xsputn(const char* text, std::streamsize size) override;
  int_type overflow(int_type c) override;

  net::io_context& io_;
  std::streambuf* const standard_;
  stream stream_;
  std::string pending_;
  std::uint64_t written_ = 0;
  std::deque<std::uint64_t> ends_;  // of the messages that are not written to their end, in bytes since the beginning
};

/// A file, or standard input.
class input {
 public:
  /// Without a path: standard input.
  input(net::io_context& io, const std::string& path);

  /// Of a regular file.
  std::optional<std::uint64_t> size() const noexcept { return size_; }
  /// How many bytes were taken from it.
  std::uint64_t taken() const noexcept { return taken_; }
  /// How many bytes were read.
  std::uint64_t read() const noexcept { return read_; }

  /// The next line, without its end; valid until the next call. None at the end of the input, and after cancel(). A
  /// line that is longer than `most` bytes is a std::length_error.
  net::awaitable<std::optional<std::string_view>> line(std::size_t most);
  /// The next bytes: so many, or less at the end of the input. Empty at the end, and after cancel().
  net::awaitable<std::string_view> bytes(std::size_t count);
  void cancel();

 private:
  net::awaitable<bool> read_more();

  net::io_context& io_;
  detail::unique_handle file_;
  native_handle_type handle_;
  std::optional<std::uint64_t> size_;
  stream stream_;
  std::vector<char> buffer_;
  std::size_t begin_ = 0;  // of what was not taken yet
  std::size_t end_ = 0;
  std::uint64_t taken_ = 0;
  std::uint64_t read_ = 0;
  bool cancelled_ = false;
};

}  // namespace belfry::cli
