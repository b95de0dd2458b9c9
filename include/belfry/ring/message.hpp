// Messages in place: what a consumer of a byte_ring receives, and what its producer fills.
#pragma once

#include <cstddef>
#include <cstdint>
#include <span>
#include <utility>

namespace belfry {
namespace detail {

/// The consumer of a message, as the message sees it.
class message_source {
 public:
  virtual void release(std::uint64_t position, std::size_t bytes) noexcept = 0;

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
/// because it was not released in time. Aligned to 8 bytes. Movable, not copyable. Not thread-safe: use and
/// destroy it only where its consumer may be used.
class message {
 public:
  message() noexcept = default;
  message(detail::message_source& source, std::span<const std::byte> bytes, std::uint64_t position)
      : source_(&source), bytes_(bytes), position_(position) {}
  message(message&& other) noexcept
      : source_(std::exchange(other.source_, nullptr)),
        bytes_(std::exchange(other.bytes_, {})),
        position_(other.position_) {}
  message& operator=(message&& other) noexcept {
    if (this != &other) {
      release();
      source_ = std::exchange(other.source_, nullptr);
      bytes_ = std::exchange(other.bytes_, {});
      position_ = other.position_;
    }
    return *this;
  }
  ~message() { release(); }

  std::span<const std::byte> bytes() const noexcept { return bytes_; }
  std::size_t size() const noexcept { return bytes_.size(); }
  /// Whether there is a message; the message itself may be empty.
  explicit operator bool() const noexcept { return source_ != nullptr; }

  /// Releases the message before its destructor does.
  void release() noexcept {
    if (source_ != nullptr) {
      std::exchange(source_, nullptr)->release(position_, std::exchange(bytes_, {}).size());
    }
  }

 private:
  detail::message_source* source_ = nullptr;
  std::span<const std::byte> bytes_;
  std::uint64_t position_ = 0;
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
