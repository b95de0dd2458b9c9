// Input and output of commands that also wait for a channel: no read or write holds up the other handlers of the
// context, and what is written is seen at once.
#pragma once

#include "../platform/tool.hpp"

#include <belfry/asio.hpp>

#include <cstddef>
#include <memory>
#include <optional>
#include <streambuf>
#include <string>
#include <string_view>
#include <vector>

#if defined(BELFRY_BOOST_ASIO)
#include <boost/asio/posix/stream_descriptor.hpp>
#else
#include <asio/posix/stream_descriptor.hpp>
#endif

namespace belfry::cli {

/// An event of a stream.
class stream_wait {
 public:
  stream_wait(net::io_context& io, native_handle_type stream, platform::stream_event event);

  /// Whether the stream is one that makes its user wait; else there is nothing to wait for.
  bool is_needed() const noexcept { return ready_.is_open(); }
  /// Completes at the event, or with `operation_aborted`.
  net::awaitable<error_code> wait();
  template <class Handler>
  void async_wait(Handler handler) {
    ready_.async_wait(net::posix::stream_descriptor::wait_read, std::move(handler));
  }
  void cancel();

 private:
  net::posix::stream_descriptor ready_;
};

/// Standard output. While this object exists, what is written to std::cout is kept for the next flush().
class output : private std::streambuf {
 public:
  explicit output(net::io_context& io);
  output(const output&) = delete;
  output& operator=(const output&) = delete;
  ~output() override;

  bool is_full() const noexcept { return pending_.size() >= enough; }
  /// Writes what is pending. False: the reader has gone, or the wait was cancelled; then the rest is still pending.
  /// Another failure is an exception.
  net::awaitable<bool> flush();
  /// Ends a wait for the reader.
  void cancel();
  /// Calls the handler when the reader has gone, at most once; not after cancel().
  template <class Handler>
  void on_reader_gone(Handler handler) {
    if (!gone_.is_needed()) return;
    gone_.async_wait([handler](const error_code& ec) {
      if (!ec) handler();
    });
  }

 private:
  static constexpr std::size_t enough = 64 << 10;

  std::streamsize xsputn(const char* text, std::streamsize size) override;
  int_type overflow(int_type c) override;

  net::io_context& io_;
  std::streambuf* const standard_;
  stream_wait writable_;
  stream_wait gone_;
  std::string pending_;
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
  stream_wait readable_;
  std::vector<char> buffer_;
  std::size_t begin_ = 0;  // of what was not taken yet
  std::size_t end_ = 0;
  std::uint64_t taken_ = 0;
  bool cancelled_ = false;
};

}  // namespace belfry::cli
