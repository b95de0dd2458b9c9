// The algorithm of latest. The shared bytes: latest_control in detail/layout/layout.hpp.
#pragma once

#include <belfry/detail/layout/fence.hpp>
#include <belfry/detail/ring/places.hpp>

#include <atomic>
#include <cstddef>
#include <cstdint>
#include <new>
#include <span>

namespace belfry::detail {

template <class Places>
class latest_algorithm {
  using sendable = typename Places::sendable;
  using received = typename Places::received;
  using control = layout::latest_control;

  static control& control_of(const ring_memory& memory) noexcept {
    return *std::launder(reinterpret_cast<control*>(memory.at));
  }

 public:
  /// The producer's side.
  class writer {
   public:
    writer(const ring_memory& memory, std::size_t)
        : control_(&control_of(memory)),
          places_(memory, sizeof(control)),
          version_(control_->version.load(std::memory_order_relaxed)) {}

    attempt push(const sendable& value) noexcept {
      const std::uint64_t next = version_ + 1;
      // A reader that sees one of these words sees that the version is near. Pairs with the fence in pop().
      release_fence();
      places_.store(next % places_.count(), value);
      // A reader that sees the version sees the words. Pairs with the acquire in pop().
      control_->version.store(next, std::memory_order_release);
      version_ = next;
      return attempt::done;
    }
    /// Only the last value can ever be received, so only that one is written.
    attempt push_n(std::span<const sendable> values, std::size_t& pushed) noexcept {
      pushed = values.size();
      return values.empty() ? attempt::done : push(values.back());
    }
    bool writable() const noexcept { return true; }
    bool corrupted() const noexcept { return false; }
    std::size_t size() const noexcept {
      return version_ != control_->read.load(std::memory_order_relaxed);
    }

   private:
    control* control_;
    Places places_;
    std::uint64_t version_;  // a private copy: readers hold the cache line of the shared one
  };

  /// A consumer's side.
  class reader {
   public:
    reader(const ring_memory& memory, std::size_t, start)
        : control_(&control_of(memory)), places_(memory, sizeof(control)) {}

    attempt pop(received& value) noexcept {
      for (int attempts = 0; attempts != 100; ++attempts) {
        const std::uint64_t version = control_->version.load(std::memory_order_acquire);
        if (version == seen_) return attempt::would_block;
        if (version < seen_) return attempt::corrupted;  // versions only grow
        const auto image = places_.image(version % places_.count(), value);
        // Pairs with the fence in push().
        acquire_fence();
        const std::uint64_t after = control_->version.load(std::memory_order_relaxed);
        // The version after `after` is being written, perhaps to the place that we have read.
        if (after - version > control::places - 2) continue;
        Places::unpack(image, value);
        seen_ = version;
        note(version);
        return attempt::done;
      }
      return attempt::corrupted;  // no honest producer writes so often during one read
    }
    /// Receives at most one value: there are no others.
    attempt pop_n(std::span<received> values, std::size_t& popped) noexcept {
      popped = 0;
      if (values.empty()) return attempt::done;
      const attempt a = pop(values.front());
      if (a != attempt::done) return a;
      popped = 1;
      return values.size() == 1 ? attempt::done : attempt::would_block;
    }
    bool readable() const noexcept {
      return control_->version.load(std::memory_order_acquire) != seen_;
    }
    bool corrupted() const noexcept {
      return control_->version.load(std::memory_order_relaxed) < seen_;
    }
    std::size_t size() const noexcept { return readable() ? 1 : 0; }
    void leave() noexcept {}

   private:
    /// Raises the shared `read` to this version, if another consumer has not done so.
    void note(std::uint64_t version) noexcept {
      std::uint64_t read = control_->read.load(std::memory_order_relaxed);
      while (read < version &&
             !control_->read.compare_exchange_weak(read, version, std::memory_order_relaxed)) {
      }
    }

    control* control_;
    Places places_;
    std::uint64_t seen_ = 0;
  };

  static void construct(const ring_memory& memory) noexcept {
    new (memory.at) control{};
    Places(memory, sizeof(control)).construct();
  }
  static bool drained(const ring_memory& memory) noexcept {
    const control& c = control_of(memory);
    return c.read.load(std::memory_order_relaxed) == c.version.load(std::memory_order_relaxed);
  }
  static void recover(const ring_memory&, std::size_t) noexcept {}  // readers ignore a half-written value
};

}  // namespace belfry::detail
