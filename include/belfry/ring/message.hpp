// Messages in place: what a consumer of a byte_ring or byte_work_ring receives, and what its producer fills.
#pragma once

#include <cstddef>
#include <cstdint>
#include <span>
#include <utility>

namespace belfry {
namespace detail {

/// An item that a consumer holds: which slot, at which lap, delivered how often. So a stale ticket is told from a valid
/// one.
struct lease_ticket {
  std::size_t index = 0;
  std::uint64_t lap = 0;
  std::uint8_t deliveries = 0;
  bool dead = false;       // received as a dead item
  std::uint32_t turn = 0;  // if leases end by themselves: tells two leases of one consumer on the same item apart
};

/// The consumer of a message, as the message sees it. False: the consumer does not hold it any more, or the ring knows
/// no such thing.
class message_source {
 public:
  virtual bool release(const lease_ticket& ticket, std::size_t bytes) noexcept = 0;
  virtual bool give_back(const lease_ticket&) noexcept { return false; }
  virtual bool reject(const lease_ticket&) noexcept { return false; }

 protected:
  ~message_source() = default;
};

/// The producer of a claim, as the claim sees it.
class claim_source {
 public:
  virtual void commit(std::size_t bytes) noexcept = 0;
  virtual void abandon() noexcept = 0;

 protected:
  ~claim_source() = default;
};

}  // namespace detail

/// A received message, read in place in the ring. The destructor releases it; then the producer may use its
/// bytes again.
///
///     while (auto m = rx.try_receive()) out.write(m->bytes());
///
/// Any number may be held at a time and released in any order; the producer cannot use their room meanwhile.
/// A message may outlive its consumer: its bytes stay readable, but the next consumer receives it again,
/// because it was not released in time. (In a byte_work_ring they may then be overwritten, when that consumer has
/// released it. The same holds for a message that was held longer than `channel_options::lease_timeout`.) Aligned to 8
/// bytes. Movable, not copyable. Not thread-safe: use and destroy it only where its consumer may be used.
///
/// In a byte_work_ring a message is an item of work, for one consumer. Its end, by the destructor or release(), says that
/// it is done. If that is not so:
///
///     if (!work_on(m.bytes())) m.requeue();           // it is delivered again, perhaps to this consumer
///     if (m.deliveries() > 3) m.reject();             // it is dead: see async_receive_dead
class message {
 public:
  message() noexcept = default;
  /// Of a ring that delivers each message once, in order.
  message(detail::message_source& source, std::span<const std::byte> bytes, std::uint64_t position)
      : message(source, bytes, detail::lease_ticket{.index = static_cast<std::size_t>(position), .deliveries = 1}) {}
  message(detail::message_source& source, std::span<const std::byte> bytes, const detail::lease_ticket& ticket)
      : source_(&source), bytes_(bytes), ticket_(ticket) {}
  message(message&& other) noexcept
      : source_(std::exchange(other.source_, nullptr)),
        bytes_(std::exchange(other.bytes_, {})),
        ticket_(other.ticket_) {}
  message& operator=(message&& other) noexcept {
    if (this != &other) {
      release();
      source_ = std::exchange(other.source_, nullptr);
      bytes_ = std::exchange(other.bytes_, {});
      ticket_ = other.ticket_;
    }
    return *this;
  }
  ~message() { release(); }

  std::span<const std::byte> bytes() const noexcept { return bytes_; }
  std::size_t size() const noexcept { return bytes_.size(); }
  /// Whether there is a message; the message itself may be empty.
  explicit operator bool() const noexcept { return source_ != nullptr; }

  /// How often the message was delivered, this time included: 1 for the first time; 255 stands for 255 or more. Rings
  /// other than byte_work_ring do not count: always 1. 0: there is no message.
  unsigned deliveries() const noexcept { return source_ != nullptr ? ticket_.deliveries : 0; }

  /// Releases the message before its destructor does. False if it is too late, because the consumer is closed, or has
  /// held it longer than `channel_options::lease_timeout`; or if there is no message.
  bool release() noexcept {
    if (source_ == nullptr) return false;
    return std::exchange(source_, nullptr)->release(ticket_, std::exchange(bytes_, {}).size());
  }
  /// Delivers the message again, perhaps to this consumer; or, if it was delivered `channel_options::max_deliveries`
  /// times, or was received as a dead one, makes it dead. False as release(). Only in a byte_work_ring: otherwise false,
  /// and the message is still held.
  bool requeue() noexcept { return end(&detail::message_source::give_back); }
  /// The message is dead: no consumer receives it, except by `async_receive_dead`. False as requeue().
  bool reject() noexcept { return end(&detail::message_source::reject); }

 private:
  bool end(bool (detail::message_source::*how)(const detail::lease_ticket&) noexcept) noexcept {
    if (source_ == nullptr) return false;
    if (!(source_->*how)(ticket_)) return false;
    source_ = nullptr;
    bytes_ = {};
    return true;
  }

  detail::message_source* source_ = nullptr;
  std::span<const std::byte> bytes_;
  detail::lease_ticket ticket_;  // means nothing without a source
};

/// Room for one message, written in place in the ring. A claim destroyed without a commit sends nothing.
///
///     if (auto c = tx.try_claim(4096)) {
///       const std::size_t n = read_frame(c.bytes());
///       c.commit(n);
///     }
///
/// While a claim is open its producer can send nothing else. A claim may outlive its producer; it then sends
/// nothing. Movable, not copyable, not thread-safe.
class [[nodiscard]] claim {
 public:
  claim() noexcept = default;
  claim(detail::claim_source& source, std::span<std::byte> bytes)
      : source_(&source), bytes_(bytes) {}
  claim(claim&& other) noexcept
      : source_(std::exchange(other.source_, nullptr)), bytes_(std::exchange(other.bytes_, {})) {}
  claim& operator=(claim&& other) noexcept {
    if (this != &other) {
      abandon();
      source_ = std::exchange(other.source_, nullptr);
      bytes_ = std::exchange(other.bytes_, {});
    }
    return *this;
  }
  ~claim() { abandon(); }

  std::span<std::byte> bytes() const noexcept { return bytes_; }
  std::size_t size() const noexcept { return bytes_.size(); }
  /// Whether there was room.
  explicit operator bool() const noexcept { return source_ != nullptr; }

  /// Sends the message: the whole claim, or its first `bytes`. Does nothing without a claim.
  void commit() noexcept { commit(bytes_.size()); }
  void commit(std::size_t bytes) noexcept {
    if (source_ == nullptr) return;
    const std::size_t most = std::exchange(bytes_, {}).size();
    std::exchange(source_, nullptr)->commit(bytes < most ? bytes : most);
  }

 private:
  void abandon() noexcept {
    if (source_ != nullptr) std::exchange(source_, nullptr)->abandon();
  }

  detail::claim_source* source_ = nullptr;
  std::span<std::byte> bytes_;
};

}  // namespace belfry
