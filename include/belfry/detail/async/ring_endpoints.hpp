// An endpoint with its side of a ring: the base of the producers and consumers of every ring.
#pragma once

#include <belfry/detail/async/endpoint.hpp>
#include <belfry/ring/lease.hpp>
#include <belfry/ring/message.hpp>
#include <belfry/ring/ring.hpp>

#include <cstddef>
#include <cstdint>
#include <memory>
#include <optional>
#include <span>
#include <type_traits>
#include <utility>

namespace belfry::detail::inline BELFRY_ASIO_FLAVOUR {

// ---- producers ----------------------------------------------------------------------------------------

template <ring Ring>
class basic_producer_endpoint : public endpoint {
 public:
  using sendable = typename Ring::sendable;

  explicit basic_producer_endpoint(net::any_io_executor executor, const channel_options& options = {})
      : endpoint(std::move(executor), Ring::traits, layout::role::producer, options) {}

  outcome put(const sendable& value) noexcept {
    if (!peers().reaches_peers()) [[unlikely]]
      return outcome::unreachable;
    const attempt a = writer_->push(value);
    if (a == attempt::done) {
      count({&value, 1});
      peers().notify();
    }
    return outcome_of(a);
  }
  /// `sent`: how many values were sent. One fence for all of them.
  outcome put_n(std::span<const sendable> values, std::size_t& sent) noexcept {
    sent = 0;
    if (!peers().reaches_peers()) [[unlikely]]
      return outcome::unreachable;
    const attempt a = writer_->push_n(values, sent);
    if (sent != 0) {
      count(values.first(sent));
      peers().notify(sent);
    }
    return outcome_of(a);
  }
  bool can_put(const sendable& value) noexcept {
    if constexpr (requires(typename Ring::writer& writer) { writer.writable(value.size()); }) {
      return writer_->writable(value.size());
    } else {
      return writer_->writable();
    }
  }

  bool ready() noexcept override { return writer_->writable(); }
  bool corrupted() const noexcept override { return writer_->corrupted(); }
  typename Ring::writer& writer() noexcept { return *writer_; }

 protected:
  void attach(const ring_memory& memory, std::size_t slot) override {
    writer_.emplace(memory, slot);
  }
  using endpoint::peers;

 private:
  void count(std::span<const sendable> sent) noexcept {
    if constexpr (std::is_same_v<sendable, std::span<const std::byte>>) {
      const bool any_size = segment().ring().value_bytes == 0;
      for (const sendable& message : sent) peers().count_messages(1, any_size ? message.size() : 0);
    } else {
      peers().count_messages(sent.size());
    }
  }

  std::optional<typename Ring::writer> writer_;
};

template <ring Ring>
class producer_endpoint final : public basic_producer_endpoint<Ring> {
 public:
  using basic_producer_endpoint<Ring>::basic_producer_endpoint;
};

/// Adds claims: messages that are written in place.
template <in_place_ring Ring>
class producer_endpoint<Ring> final : public basic_producer_endpoint<Ring>, private claim_source {
 public:
  using basic_producer_endpoint<Ring>::basic_producer_endpoint;

  outcome reserve(std::uint64_t bytes, claim& out) noexcept {
    if (!this->peers().reaches_peers()) [[unlikely]]
      return outcome::unreachable;
    std::span<std::byte> room;
    const attempt a = this->writer().claim(bytes, room);
    if (a == attempt::done) {
      claimed_ = true;
      out = claim(*this, room);
    }
    return outcome_of(a);
  }

 private:
  void commit(std::size_t bytes) noexcept override {
    if (this->is_open()) {  // after close() the ring may have another producer
      this->writer().commit(bytes);
      this->peers().count_messages(1, bytes);
      this->peers().notify();
    }
    end_claim();
  }
  void abandon() noexcept override {
    if (this->is_open()) this->writer().abandon();
    end_claim();
  }
  void end_claim() noexcept {
    claimed_ = false;
    this->retry();  // operations initiated during the claim had to wait
    self_.reset();
  }
  void closed() noexcept override {
    if (claimed_) self_ = this->shared_from_this();  // keep the memory mapped while the user may write to it
  }

  bool claimed_ = false;
  std::shared_ptr<endpoint> self_;
};

// ---- consumers ----------------------------------------------------------------------------------------

template <ring Ring>
class basic_consumer_endpoint : public endpoint {
 public:
  using received = typename Ring::received;

  explicit basic_consumer_endpoint(net::any_io_executor executor, const channel_options& options = {})
      : endpoint(std::move(executor), Ring::traits, layout::role::consumer, options) {}

  bool ready() noexcept override { return loses_untold() || reader_->readable(); }
  bool corrupted() const noexcept override { return reader_->corrupted(); }
  typename Ring::reader& reader() noexcept { return *reader_; }

  /// How many values the last reported `lagged` was about.
  std::uint64_t lost() const noexcept { return lost_; }

 protected:
  /// An attempt that could not report it has noticed a loss.
  bool loses_untold() const noexcept {
    if constexpr (lossy_ring<Ring>) return reader_->total_lost() != told_lost_;
    return false;
  }
  /// Marks the loss as reported.
  outcome tell_loss() noexcept {
    if constexpr (lossy_ring<Ring>) lost_ = reader_->total_lost() - std::exchange(told_lost_, reader_->total_lost());
    return outcome::lagged;
  }
  std::error_code take_notice() noexcept override {
    return loses_untold() ? error_of(tell_loss()) : std::error_code();
  }

  void attach(const ring_memory& memory, std::size_t slot) override {
    reader_.emplace(memory, slot, options().start);
  }
  /// Counts what was lost since the last call, for tools.
  void count_losses() noexcept {
    if constexpr (lossy_ring<Ring>) {
      peers().count_lost(reader_->total_lost() - std::exchange(counted_lost_, reader_->total_lost()));
    }
  }
  /// Producers never wait for room.
  bool is_never_full() const noexcept {
    if constexpr (Ring::traits.any) return segment().traits().never_full;
    return Ring::traits.never_full;
  }
  /// Whether every producer that may wait for room can be notified.
  bool reaches_producers() noexcept { return is_never_full() || peers().reaches_peers(); }
  /// Notifies for the freed room at once: this consumer may wait for something else next.
  void freed(std::uint64_t amount) noexcept {
    if (is_never_full()) return;
    if (peers().template room_may_be_wanted<Ring::traits.most.producers>()) [[unlikely]]
      tell_room(amount);
  }
  void closing() noexcept override { reader_->leave(); }

 private:
  [[gnu::noinline]] void tell_room(std::uint64_t amount) noexcept {
    if constexpr (Ring::traits.competing) amount += reader_->more_room();
    peers().notify_room(static_cast<std::size_t>(amount));
  }

  std::optional<typename Ring::reader> reader_;
  std::uint64_t lost_ = 0;
  std::uint64_t told_lost_ = 0;     // of total_lost()
  std::uint64_t counted_lost_ = 0;  // of total_lost()
};

/// For rings whose values are copied out. The copy frees their place.
template <ring Ring>
class copying_consumer_endpoint : public basic_consumer_endpoint<Ring> {
 public:
  using basic_consumer_endpoint<Ring>::basic_consumer_endpoint;
  using typename basic_consumer_endpoint<Ring>::received;

  outcome take(received& value) noexcept {
    if (this->loses_untold()) [[unlikely]]
      return this->tell_loss();
    const outcome o = pop(value);
    return o == outcome::lagged ? this->tell_loss() : o;
  }
  outcome take_n(std::span<received> values, std::size_t& taken) noexcept {
    taken = 0;
    if (this->loses_untold()) [[unlikely]]
      return this->tell_loss();
    const outcome o = pop_n(values, taken);
    return o == outcome::lagged ? this->tell_loss() : o;
  }
  /// For calls that can return only values, not errors. A loss is reported by the next operation, receive() or
  /// finish_wait().
  bool try_take(received& value) noexcept { return pop(value) == outcome::done; }
  void try_take_n(std::span<received> values, std::size_t& taken) noexcept { pop_n(values, taken); }

 private:
  outcome pop(received& value) noexcept {
    if (!this->reaches_producers()) [[unlikely]]
      return outcome::unreachable;
    const attempt a = this->reader().pop(value);
    if (a == attempt::done) {
      count({&value, 1});
      this->freed(1);
    }
    if (a == attempt::lagged) [[unlikely]]
      this->count_losses();
    return outcome_of(a);
  }
  outcome pop_n(std::span<received> values, std::size_t& taken) noexcept {
    if (!this->reaches_producers()) [[unlikely]]
      return outcome::unreachable;
    const attempt a = this->reader().pop_n(values, taken);
    if (taken != 0) {
      count(values.first(taken));
      this->freed(taken);
    }
    if (a == attempt::lagged) [[unlikely]]
      this->count_losses();
    return outcome_of(a);
  }
  void count(std::span<const received> taken) noexcept {
    if constexpr (std::is_same_v<received, std::span<std::byte>>) {
      const bool any_size = this->segment().ring().value_bytes == 0;
      for (const received& message : taken) this->peers().count_messages(1, any_size ? message.size() : 0);
    } else {
      this->peers().count_messages(taken.size());
    }
  }
};

template <ring Ring>
class consumer_endpoint final : public copying_consumer_endpoint<Ring> {
 public:
  using copying_consumer_endpoint<Ring>::copying_consumer_endpoint;
};

/// Messages are read in place, and their release frees their place.
template <in_place_ring Ring>
class consumer_endpoint<Ring> final : public basic_consumer_endpoint<Ring>, private message_source {
 public:
  using basic_consumer_endpoint<Ring>::basic_consumer_endpoint;

  outcome take(message& out) noexcept {
    if (!this->reaches_producers()) [[unlikely]]
      return outcome::unreachable;
    typename Ring::reader::view view;
    const attempt a = this->reader().pop(view);
    if (a == attempt::done) {
      ++lent_;
      this->peers().count_messages(1, view.bytes.size());
      out = message(*this, view.bytes, view.position);
    }
    return outcome_of(a);
  }
  outcome take_n(std::span<message> messages, std::size_t& taken) noexcept {
    outcome o = outcome::done;
    for (taken = 0; taken != messages.size(); ++taken) {
      o = take(messages[taken]);
      if (o != outcome::done) break;
    }
    return o;
  }
  bool try_take(message& out) noexcept { return take(out) == outcome::done; }
  void try_take_n(std::span<message> messages, std::size_t& taken) noexcept { take_n(messages, taken); }

 private:
  void release(std::uint64_t position, std::size_t bytes) noexcept override {
    if (this->is_open()) {
      this->reader().release(position, bytes);
      this->freed(1);
    }
    if (--lent_ == 0) self_.reset();
  }
  void closed() noexcept override {
    if (lent_ != 0) self_ = this->shared_from_this();  // keep the memory mapped while the user holds messages
  }

  std::uint64_t lent_ = 0;
  std::shared_ptr<endpoint> self_;
};

/// Items are copied out, and held until they are acknowledged: immediately, or by the user's lease.
template <leasing_ring Ring>
class consumer_endpoint<Ring> final : public copying_consumer_endpoint<Ring>, private lease_source {
 public:
  using copying_consumer_endpoint<Ring>::copying_consumer_endpoint;
  using typename basic_consumer_endpoint<Ring>::received;

  outcome take_lease(lease<received>& out) noexcept {
    if (!this->reaches_producers()) [[unlikely]]
      return outcome::unreachable;
    received value;
    lease_ticket ticket;
    const attempt a = this->reader().lease(value, ticket);
    if (a == attempt::done) {
      ++held_;
      this->peers().count_messages(1);
      out = lease<received>(*this, value, ticket);
      this->freed(1);  // a producer can skip a leased place, but not an item that no consumer has taken
    }
    return outcome_of(a);
  }

 private:
  bool acknowledge(const lease_ticket& ticket) noexcept override {
    const bool done = this->is_open() && this->reader().acknowledge(ticket);
    if (done) this->freed(1);
    let_go();
    return done;
  }
  bool give_back(const lease_ticket& ticket) noexcept override {
    const bool done = this->is_open() && this->reader().give_back(ticket);
    if (done) {
      this->retry();  // this consumer may take it again, as any other may
      this->peers().hand_off();
    }
    let_go();
    return done;
  }
  void let_go() noexcept {
    if (--held_ == 0) self_.reset();
  }
  void closing() noexcept override {
    if (held_ != 0) this->reader().leave();
  }
  void closed() noexcept override {
    if (held_ != 0) self_ = this->shared_from_this();  // leases refer to this endpoint
  }

  std::uint64_t held_ = 0;
  std::shared_ptr<endpoint> self_;
};

}  // namespace belfry::detail::inline BELFRY_ASIO_FLAVOUR
