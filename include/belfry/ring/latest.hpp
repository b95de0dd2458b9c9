// One producer, many consumers; only the newest value.
#pragma once

#include <belfry/detail/layout/fence.hpp>
#include <belfry/detail/layout/atomic_words.hpp>
#include <belfry/ring/ring.hpp>
#include <belfry/ring/type_fingerprint.hpp>
#include <belfry/shareable.hpp>

#include <atomic>
#include <cstddef>
#include <cstdint>
#include <new>
#include <span>

namespace belfry {

/// The newest value of a type, with a version. Every consumer can receive it; a value that was overwritten
/// before a consumer looked is skipped by that consumer.
///
///     struct position { double x, y, z; std::uint64_t time; };
///     using positions = belfry::channel<belfry::latest<position>>;
///
/// A send never waits and never fails. A receive completes when there is a version that this consumer has not
/// received; a consumer that joins late receives the newest at once. A value is always whole: if a producer
/// is killed while it writes, the previous value stays.
///
/// Up to 63 consumers, or more with `channel_options::participants`. The ring trusts no process: whatever a
/// process writes over it, a receive gives some value or `errc::corrupted`, and accesses nothing outside the
/// ring.
template <class T>
class latest {
  static_assert(detail::can_be_sent<T>());

  using attempt = detail::attempt;
  using ring_memory = detail::ring_memory;
  using control = layout::latest_control;
  using value_words = detail::atomic_words<T>;

  static control& control_of(const ring_memory& memory) noexcept {
    return *std::launder(reinterpret_cast<control*>(memory.at));
  }
  static value_words& place(const ring_memory& memory, std::uint64_t version) noexcept {
    return std::launder(reinterpret_cast<value_words*>(
        memory.at + sizeof(control)))[version % control::places];
  }

 public:
  using value_type = T;
  using sendable = T;
  using received = T;

  /// The producer's side.
  class writer {
   public:
    writer(const ring_memory& memory, std::size_t)
        : memory_(memory),
          control_(&control_of(memory)),
          version_(control_->version.load(std::memory_order_relaxed)) {}

    attempt push(const T& value) noexcept {
      const std::uint64_t next = version_ + 1;
      // A reader that sees one of these words sees that the version is near. Pairs with the fence in pop().
      detail::release_fence();
      place(memory_, next).store(value);
      // A reader that sees the version sees the words. Pairs with the acquire in pop().
      control_->version.store(next, std::memory_order_release);
      version_ = next;
      return attempt::done;
    }
    /// Only the last value can ever be received, so only that one is written.
    attempt push_n(std::span<const T> values, std::size_t& pushed) noexcept {
      pushed = values.size();
      return values.empty() ? attempt::done : push(values.back());
    }
    bool writable() const noexcept { return true; }
    bool corrupted() const noexcept { return false; }
    std::size_t size() const noexcept {
      return version_ != control_->read.load(std::memory_order_relaxed);
    }

   private:
    ring_memory memory_;
    control* control_;
    std::uint64_t version_;  // a private copy: readers hold the cache line of the shared one
  };

  /// A consumer's side.
  class reader {
   public:
    reader(const ring_memory& memory, std::size_t, start)
        : memory_(memory), control_(&control_of(memory)) {}

    attempt pop(T& value) noexcept {
      for (int attempts = 0; attempts != 100; ++attempts) {
        const std::uint64_t version = control_->version.load(std::memory_order_acquire);
        if (version == seen_) return attempt::would_block;
        if (version < seen_) return attempt::corrupted;  // versions only grow
        const auto words = place(memory_, version).load();
        // Pairs with the fence in push().
        detail::acquire_fence();
        const std::uint64_t after = control_->version.load(std::memory_order_relaxed);
        // The version after `after` is being written, perhaps to the place that we have read.
        if (after - version > control::places - 2) continue;
        value_words::unpack(words, value);
        seen_ = version;
        note(version);
        return attempt::done;
      }
      return attempt::corrupted;  // no honest producer writes so often during one read
    }
    /// Receives at most one value: there are no others.
    attempt pop_n(std::span<T> values, std::size_t& popped) noexcept {
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

    ring_memory memory_;
    control* control_;
    std::uint64_t seen_ = 0;
  };

  static constexpr detail::ring_traits traits{
      .kind = layout::ring_kind::latest,
      .most = {.producers = 1, .consumers = layout::max_participants - 1},
      .value_bytes = sizeof(T),
      .value_align = alignof(T),
      .type = &detail::description_of<T>,
      .type_fingerprint = type_fingerprint<T>(),
      .abi_fingerprint = 0,
      .align = layout::cache_line,
      .capacity = [](std::uint64_t) -> std::uint64_t { return 1; },
      .layout =
          [](std::uint64_t, std::size_t, std::uint64_t) {
            return detail::ring_layout{
                .bytes = sizeof(control) + control::places * sizeof(value_words),
                .places = {.places = control::places,
                           .first = sizeof(control),
                           .stride = sizeof(value_words),
                           .value = 0}};
          },
      .construct =
          [](const ring_memory& memory) {
            new (memory.at) control{};
            for (std::size_t i = 0; i != control::places; ++i)
              new (&place(memory, i)) value_words{};
          },
      .drained =
          [](const ring_memory& memory) {
            const control& c = control_of(memory);
            return c.read.load(std::memory_order_relaxed) ==
                   c.version.load(std::memory_order_relaxed);
          },
      .recover = [](const ring_memory&, std::size_t) {},  // readers ignore a half-written value
      .never_full = true,
      .chosen_seats = true,
  };
};

}  // namespace belfry
