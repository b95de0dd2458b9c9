// A watched block, and the results of its operations.
#pragma once

#include "support/rings.hpp"

#include <belfry/watch.hpp>

#include <string>

namespace belfry::test {

/// A block whose name and companion are removed at the end of its scope.
struct block {
  explicit block(std::string_view what, std::size_t bytes = 64)
      : memory(shared_memory::create(unique_name(what), bytes)) {}
  ~block() {
    CHECK(files_of(companion()) == 0);
    memory.unlink();
  }
  std::string companion() const { return memory.name() + ".watch"; }

  shared_memory memory;
};

/// The result of an async_changed.
struct change {
  int calls = 0;
  error_code ec;
  std::uint64_t version = 0;

  auto handler() {
    return [this](const error_code& e, std::uint64_t v) {
      ++calls;
      ec = e;
      version = v;
    };
  }
};

/// The result of an async_txn.
struct grant {
  int calls = 0;
  error_code ec;
  transaction held;

  auto handler() {
    return [this](const error_code& e, transaction t) {
      ++calls;
      ec = e;
      held = std::move(t);
    };
  }
};

inline const auto types = {net::cancellation_type::terminal, net::cancellation_type::partial,
                           net::cancellation_type::total, net::cancellation_type::all};

template <class Handler>
auto bound(net::cancellation_signal& signal, Handler handler) {
  return net::bind_cancellation_slot(signal.slot(), std::move(handler));
}

}  // namespace belfry::test
