// How far a command has come with a file: a line on standard error, if that is a terminal.
#pragma once

#include <belfry/asio.hpp>

#include <chrono>
#include <cstdint>
#include <optional>
#include <string>

#if defined(BELFRY_BOOST_ASIO)
#include <boost/asio/steady_timer.hpp>
#else
#include <asio/steady_timer.hpp>
#endif

namespace belfry::cli {

class progress {
 public:
  /// Nothing is shown without a total.
  progress(net::io_context& io, std::string name, std::optional<std::uint64_t> total);
  progress(const progress&) = delete;
  progress& operator=(const progress&) = delete;
  /// Ends the line.
  ~progress();

  /// One more message; and so many bytes, of the total, are done.
  void sent(std::uint64_t done) noexcept {
    ++messages_;
    done_ = done;
  }

 private:
  void show_later();
  void show();

  net::steady_timer timer_;
  std::string name_;
  std::optional<std::uint64_t> total_;
  std::chrono::steady_clock::time_point began_;
  std::uint64_t messages_ = 0;
  std::uint64_t done_ = 0;
};

}  // namespace belfry::cli
