// One producer, one consumer, messages of any size, written and read in place.
#pragma once

#include <belfry/detail/base/api.hpp>
#include <belfry/ring/message.hpp>
#include <belfry/ring/ring.hpp>

#include <algorithm>
#include <atomic>
#include <cstddef>
#include <cstdint>
#include <cstring>
#include <new>
#include <span>

namespace belfry {

/// A ring of bytes whose capacity is chosen at run time; the format is in segment/layout.hpp.
///
///     using frames = belfry::channel<belfry::byte_ring>;      // channel_options::capacity in bytes
///
/// A message is always contiguous, because the data is mapped twice in a row. (Both are the same memory for the processor's
/// order of loads and stores, too: on x86 and ARM64 data caches go by physical addresses.) The largest message has
/// `capacity - 8` bytes.
///
/// When a process is killed: a claim that was not committed is discarded; a message that was delivered and
/// not released is delivered again, with all messages after it.
///
/// Neither side trusts the other. What the peer may have written (the opposite index, a length) is read once
/// and checked against what this side knows itself before it is used. If the check fails, every later attempt
/// gives `errc::corrupted`. The peer can still change the contents of a message: if it may be hostile, copy
/// first, then check, then use.
class byte_ring {
  using attempt = detail::attempt;
  using ring_memory = detail::ring_memory;

 public:
  using sendable = std::span<const std::byte>;
  using received = message;

  static constexpr std::uint64_t default_capacity = std::uint64_t{1} << 20;
  static constexpr std::uint64_t max_capacity = std::uint64_t{1} << 32;

  static constexpr std::uint64_t max_message(const ring_memory& memory) noexcept { return largest(memory.capacity); }

  class writer;
  class reader;

 private:
  static constexpr std::uint64_t largest(std::uint64_t capacity) noexcept {
    return capacity - sizeof(layout::record_header);
  }
  static layout::byte_ring_control* control(const ring_memory& memory) noexcept {
    return reinterpret_cast<layout::byte_ring_control*>(memory.at);
  }
  static std::byte* data(const ring_memory& memory) noexcept {
    return memory.at + (memory.bytes - memory.capacity);
  }
  /// A record's header, accessed as a whole: the peer may be changing it. Relaxed: the indices order it.
  static std::atomic_ref<layout::record_header> header_at(std::byte* record) noexcept {
    return std::atomic_ref(*reinterpret_cast<layout::record_header*>(record));
  }
  /// Whether the opposite index can be true: not behind the index that it must follow, at most a capacity
  /// ahead of it, at the start of a record.
  static bool plausible(std::uint64_t ahead, std::uint64_t behind,
                        std::uint64_t capacity) noexcept {
    return ahead - behind <= capacity && ahead % alignof(layout::record_header) == 0;
  }

  // In src/segment/byte_ring.cpp: these depend on the size of a page.
  BELFRY_API static std::uint64_t capacity_for(std::uint64_t wish);
  BELFRY_API static detail::ring_layout layout_for(const detail::ring_size& size);

 public:
  static constexpr detail::ring_traits traits{
      .kind = layout::ring_kind::byte,
      .most = {.producers = 1, .consumers = 1},
      .value_bytes = 0,
      .value_align = alignof(layout::record_header),
      .type_fingerprint = 0,
      .abi_fingerprint = 0,
      .align = alignof(layout::byte_ring_control),
      .capacity = capacity_for,
      .layout = layout_for,
      .construct = [](const ring_memory& memory) { new (memory.at) layout::byte_ring_control{}; },
      .drained =
          [](const ring_memory& memory) {
            return control(memory)->tail.load(std::memory_order_relaxed) ==
                   control(memory)->head.load(std::memory_order_relaxed);
          },
      .recover = [](const ring_memory&,
                    std::size_t) {},  // an unfinished operation has changed nothing visible
      .chosen_capacity = true,
  };
};

/// The producer's side.
class byte_ring::writer {
 public:
  writer(const ring_memory& memory, std::size_t) noexcept
      : control_(control(memory)), data_(data(memory)), capacity_(memory.capacity) {
    tail_ = control_->tail.load(std::memory_order_relaxed);  // where the previous producer stopped
    cached_head_ = control_->head.load(std::memory_order_acquire);
    corrupted_ = !plausible(tail_, cached_head_, capacity_) || cached_head_ % 8 != 0;
  }

  /// Reserves room for a message of `bytes` bytes. Only one claim at a time.
  attempt claim(std::uint64_t bytes, std::span<std::byte>& out) noexcept {
    const attempt a = reserve(tail_, bytes);
    if (a != attempt::done) return a;
    claimed_ = true;
    out = {at(tail_) + sizeof(layout::record_header), static_cast<std::size_t>(bytes)};
    return a;
  }
  /// Publishes the first `bytes` of the claim.
  void commit(std::uint64_t bytes) noexcept {
    claimed_ = false;
    seal(tail_, bytes);
    publish(tail_ + layout::record_bytes(bytes));
  }
  void abandon() noexcept { claimed_ = false; }

  attempt push(sendable message) noexcept {
    const attempt a = reserve(tail_, message.size());
    if (a == attempt::done) {
      put(tail_, message);
      publish(tail_ + layout::record_bytes(message.size()));
    }
    return a;
  }
  /// Sends as many messages as there is room for, published with one store.
  attempt push_n(std::span<const sendable> messages, std::size_t& pushed) noexcept {
    std::uint64_t position = tail_;
    attempt a = attempt::done;
    for (pushed = 0; pushed != messages.size(); ++pushed) {
      const sendable message = messages[pushed];
      a = reserve(position, message.size());
      if (a != attempt::done) break;
      put(position, message);
      position += layout::record_bytes(message.size());
    }
    if (pushed != 0) publish(position);
    return a;
  }

  /// Whether an attempt to send a message of `bytes` bytes would not block.
  bool writable(std::uint64_t bytes) noexcept {
    return reserve(tail_, bytes) != attempt::would_block;
  }
  /// The same for the size of the last attempt that blocked.
  bool writable() noexcept { return writable(wanted_); }
  bool corrupted() const noexcept { return corrupted_; }
  /// Where the next message goes; it only grows.
  std::uint64_t position() const noexcept { return tail_; }
  std::uint64_t size() noexcept {
    refresh_head();
    return std::min(tail_ - cached_head_, capacity_);
  }

 private:
  attempt reserve(std::uint64_t position, std::uint64_t bytes) noexcept {
    if (bytes > largest(capacity_)) [[unlikely]]
      return attempt::too_large;
    if (claimed_) [[unlikely]]
      return attempt::would_block;
    const std::uint64_t end = position + layout::record_bytes(bytes);
    if (end - cached_head_ > capacity_) {
      refresh_head();
      if (corrupted_) [[unlikely]]
        return attempt::corrupted;
      if (end - cached_head_ > capacity_) {
        wanted_ = bytes;
        return attempt::would_block;
      }
    }
    return corrupted_ ? attempt::corrupted : attempt::done;
  }

  void refresh_head() noexcept {
    // Pairs with the release in reader::release: we may overwrite what is before the head.
    const std::uint64_t head = control_->head.load(std::memory_order_acquire);
    if (plausible(head, cached_head_, tail_ - cached_head_)) {
      cached_head_ = head;
    } else {
      corrupted_ = true;
    }
  }

  std::byte* at(std::uint64_t position) const noexcept {
    return data_ + (position & (capacity_ - 1));
  }

  void seal(std::uint64_t position, std::uint64_t bytes) noexcept {
    header_at(at(position))
        .store({static_cast<std::uint32_t>(bytes), 0}, std::memory_order_relaxed);
  }
  void put(std::uint64_t position, sendable message) noexcept {
    seal(position, message.size());
    if (!message.empty()) {
      std::memcpy(at(position) + sizeof(layout::record_header), message.data(), message.size());
    }
  }
  void publish(std::uint64_t tail) noexcept {
    tail_ = tail;
    // Pairs with the acquire in reader::refresh_tail: a reader that sees the tail sees the records before it.
    control_->tail.store(tail, std::memory_order_release);
  }

  layout::byte_ring_control* control_;
  std::byte* data_;
  std::uint64_t capacity_;
  std::uint64_t tail_;         // published so far
  std::uint64_t cached_head_;  // the last head that was plausible
  std::uint64_t wanted_ = 0;
  bool corrupted_;
  bool claimed_ = false;
};

/// The consumer's side.
class byte_ring::reader {
 public:
  /// A message in place, and the position by which it is released.
  struct view {
    std::span<const std::byte> bytes;
    std::uint64_t position = 0;
  };

  reader(const ring_memory& memory, std::size_t, start) noexcept
      : control_(control(memory)), data_(data(memory)), capacity_(memory.capacity) {
    head_ = control_->head.load(std::memory_order_relaxed);  // where the previous consumer stopped
    next_ = cached_tail_ = head_;
    corrupted_ = head_ % 8 != 0;
  }

  attempt pop(view& out) noexcept {
    const attempt a = peek(out);
    if (a == attempt::done) take(out);
    return a;
  }
  /// In two steps: the message may stay where it is.
  attempt peek(view& out) noexcept {
    if (!readable()) return attempt::would_block;
    if (corrupted_) [[unlikely]]
      return attempt::corrupted;
    const layout::record_header header = header_at(at(next_)).load(std::memory_order_relaxed);
    const std::uint64_t bytes = layout::record_bytes(header.bytes);
    if (bytes > cached_tail_ - next_) [[unlikely]] {
      corrupted_ = true;
      return attempt::corrupted;
    }
    if (header.flags != 0) [[unlikely]]
      flags(next_).store(0, std::memory_order_relaxed);
    out = {{at(next_) + sizeof header, header.bytes}, next_};
    return attempt::done;
  }
  void take(const view& peeked) noexcept { next_ += layout::record_bytes(peeked.bytes.size()); }

  /// Any number may be held at a time, and released in any order. The producer gets the room of a message
  /// when it and all older messages are released.
  void release(std::uint64_t position, std::uint64_t bytes) noexcept {
    if (position != head_) {
      flags(position).store(layout::record_released, std::memory_order_relaxed);
      return;
    }
    head_ += layout::record_bytes(bytes);
    while (head_ != next_) {
      const layout::record_header header = header_at(at(head_)).load(std::memory_order_relaxed);
      if (header.flags != layout::record_released) break;
      if (layout::record_bytes(header.bytes) > next_ - head_) {
        corrupted_ = true;
        break;
      }
      head_ += layout::record_bytes(header.bytes);
    }
    // Pairs with the acquire in writer::refresh_head: our reads of these bytes are done.
    control_->head.store(head_, std::memory_order_release);
  }

  bool readable() noexcept {
    if (next_ == cached_tail_) refresh_tail();
    if (next_ != cached_tail_ || corrupted_) return true;
    // For a consumer that polls: fetches the record's cache line while the index is still on its way.
    __builtin_prefetch(at(next_));
    return false;
  }
  bool corrupted() const noexcept { return corrupted_; }
  /// Of the next message; it only grows.
  std::uint64_t position() const noexcept { return next_; }
  std::uint64_t size() noexcept {
    refresh_tail();
    return std::min(cached_tail_ - next_, capacity_);
  }
  void leave() noexcept {}

 private:
  void refresh_tail() noexcept {
    // Pairs with the release in writer::publish.
    const std::uint64_t tail = control_->tail.load(std::memory_order_acquire);
    if (plausible(tail, cached_tail_, capacity_ - (cached_tail_ - head_))) {
      cached_tail_ = tail;
    } else {
      corrupted_ = true;
    }
  }

  std::byte* at(std::uint64_t position) const noexcept {
    return data_ + (position & (capacity_ - 1));
  }
  std::atomic_ref<std::uint32_t> flags(std::uint64_t position) const noexcept {
    return std::atomic_ref(*reinterpret_cast<std::uint32_t*>(at(position) + 4));
  }

  layout::byte_ring_control* control_;
  std::byte* data_;
  std::uint64_t capacity_;
  std::uint64_t head_;         // released so far
  std::uint64_t next_;         // delivered so far
  std::uint64_t cached_tail_;  // the last tail that was plausible
  bool corrupted_;
};

static_assert(detail::in_place_ring<byte_ring>);

}  // namespace belfry
