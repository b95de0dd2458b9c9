// Processes that get transactions on one block.
#pragma once

#include "support/process.hpp"
#include "support/rings.hpp"

#include <belfry/watch.hpp>

#include <csignal>
#include <memory>
#include <string>

#include <unistd.h>

namespace belfry::test {

/// A block whose name is removed at the end of its scope, and that no process has opened before the forks.
struct named_block {
  explicit named_block(std::string_view what) : name(unique_name(what)) {
    shared_memory::create(name, 4096);
  }
  ~named_block() {
    CHECK(files_of(name + ".watch") == 0);
    shared_memory::unlink(name);
    CHECK(files_of(name) == 0);
  }
  std::string name;
};

[[noreturn]] inline void die() {
  for (;;) ::kill(::getpid(), SIGKILL);
}

/// Gets transactions in one of two ways.
class worker {
 public:
  worker(const std::string& name, bool async) : block_(shared_memory::open(name)) {
    if (async) watch_ = std::make_unique<watch>(io_, block_);
  }

  transaction begin() {
    transaction held;
    error_code ec = errc::protocol_error;
    if (watch_) {
      watch_->async_txn([&](const error_code& e, transaction t) {
        ec = e;
        held = std::move(t);
      });
      io_.restart();
      io_.run();
    } else {
      held = block_.txn(ec);
    }
    EXPECT_EQ(ec, held.owner_died() ? error_code(errc::owner_died) : error_code());
    EXPECT(held);
    return held;
  }

 private:
  shared_memory block_;
  net::io_context io_;
  std::unique_ptr<watch> watch_;
};

}  // namespace belfry::test
