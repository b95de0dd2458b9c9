// A stream that is read or written while other handlers of the context run.
#pragma once

#include "../platform/tool.hpp"

#include <belfry/asio.hpp>

#include <cstddef>
#include <functional>
#include <memory>
#include <span>
#include <string_view>

namespace belfry::cli {

/// Standard input or output, or a file. It is not made non-blocking, as other processes share it.
class stream {
 public:
  enum class use { input, output };

  stream(net::io_context& io, native_handle_type handle, use u);
  stream(const stream&) = delete;
  stream& operator=(const stream&) = delete;
  ~stream();

  /// Whether it is one that makes its user wait, as a pipe; a file does not.
  bool waits() const noexcept;
  /// At least one byte. 0 at the end, after a failure, and if cancel() ends it. Only for a stream that waits.
  net::awaitable<std::size_t> read_some(std::span<char> into, detail::failure& f);
  net::awaitable<std::size_t> write_some(std::string_view bytes, detail::failure& f);
  /// Ends what waits. Nothing more is read.
  void cancel();

  /// Calls the function when the other end of an output is closed, at most once; not after cancel(). On Windows nothing
  /// tells that, and the next write fails.
  void on_hung_up(std::function<void()> call);

 private:
  struct implementation;
  const std::unique_ptr<implementation> implementation_;
};

}  // namespace belfry::cli
