#include "progress.hpp"

#include "../platform/tool.hpp"
#include "text.hpp"

#include <algorithm>
#include <iostream>
#include <utility>

namespace belfry::cli {

progress::progress(net::io_context& io, std::string name, std::optional<std::uint64_t> total)
    : timer_(io),
      name_(std::move(name)),
      total_(platform::is_error_terminal() ? total : std::nullopt),
      began_(std::chrono::steady_clock::now()) {
  if (total_) show_later();
}

progress::~progress() {
  if (!total_) return;
  show();
  std::cerr << '\n';
}

void progress::show_later() {
  timer_.expires_after(std::chrono::milliseconds(250));
  timer_.async_wait([this](const error_code& ec) {
    if (ec) return;
    show();
    show_later();
  });
}

void progress::show() {
  const double seconds = std::chrono::duration<double>(std::chrono::steady_clock::now() - began_).count();
  const auto per_second = [&](std::uint64_t n) {
    return static_cast<std::uint64_t>(static_cast<double>(n) / std::max(seconds, 1e-3));
  };
  // The end of an earlier, longer line is erased.
  std::cerr << '\r' << shown(name_) << ": " << size_text(done_) << " of " << size_text(*total_) << ", "
            << plural(messages_, "message") << ", " << per_second(messages_) << "/s, " << size_text(per_second(done_))
            << "/s\x1b[K" << std::flush;
}

}  // namespace belfry::cli
