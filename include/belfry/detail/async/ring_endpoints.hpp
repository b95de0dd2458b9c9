// An endpoint with its side of a ring: the base of the producers and consumers of every ring.
#pragma once

#include <belfry/detail/async/endpoint.hpp>
#include <belfry/ring/lease.hpp>
#include <belfry/ring/message.hpp>
#include <belfry/ring/ring.hpp>

#include <chrono>
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
  std::optional<std::uint64_t> position() const noexcept { return writer_->position(peers().counted_messages()); }

  /// As put(), of an item that was delivered before.
  outcome put_delivered(const sendable& value, std::uint8_t deliveries) noexcept {
    if (!peers().reaches_peers()) [[unlikely]]
      return outcome::unreachable;
    const attempt a = writer_->push(value, deliveries);
    if (a == attempt::done) {
      count({&value, 1});
      peers().notify();
    }
    return outcome_of(a);
  }

 protected:
  void attach(const ring_memory& memory, std::size_t slot) override {
    writer_.emplace(memory, slot);
    if constexpr (requires { writer_->uncounted(0); })
      peers().count_messages(writer_->uncounted(peers().counted_messages()));
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
    if (this->is_open()) {
      this->writer().abandon();
      if constexpr (Ring::traits.competing) this->peers().hand_off();  // another producer may wait for the place
    }
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
    if constexpr (requires { reader_->uncounted(0); })
      peers().count_messages(reader_->uncounted(peers().counted_messages()));
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
  /// After an attempt: a producer may have seen a place held that was not taken, and sleep.
  void tell_hesitation() noexcept {
    if constexpr (hesitating_ring<Ring>) {
      if (reader_->hesitated()) [[unlikely]]
        freed(1);
    }
  }
  void closing() noexcept override { reader_->leave(); }

  // ---- redelivering_ring

  static constexpr bool ends_leases = redelivering_ring<Ring> || Ring::traits.any;

  std::chrono::steady_clock::time_point wakes_at() noexcept override {
    if constexpr (ends_leases) return reader_->look_at_leases();
    return std::chrono::steady_clock::time_point::max();
  }
  /// After an item was given back or rejected, or leases may have ended: wakes those that wait for what has changed.
  void tell_returned(bool given_back) noexcept {
    if constexpr (ends_leases) {
      if (reader_->made_dead()) {
        this->peers().hand_off(roster::everyone);
        freed(1);  // a producer may drop a dead item
      } else if (given_back) {
        this->peers().hand_off();
      }
    }
  }
  /// After an attempt, which may have ended leases.
  void tell_ended_leases() noexcept {
    if constexpr (ends_leases) {
      if (this->segment().ring().lease_timeout != 0) [[unlikely]]
        tell_returned(false);
    }
  }

 public:
  bool has_dead() noexcept {
    if constexpr (ends_leases) return reader_->has_dead();
    return false;
  }

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
  std::optional<std::uint64_t> position() noexcept { return this->reader().position(this->peers().counted_messages()); }

  /// For calls that can return only values, not errors. A loss is reported by the next operation, receive() or
  /// finish_wait().
  bool try_take(received& value) noexcept { return pop(value) == outcome::done; }
  void try_take_n(std::span<received> values, std::size_t& taken) noexcept { pop_n(values, taken); }

  /// The room becomes the dead item, which is gone.
  outcome take_dead(received& value) noexcept requires requires(typename Ring::reader& r) { r.pop_dead(value); } {
    if (!this->reaches_producers()) [[unlikely]]
      return outcome::unreachable;
    const attempt a = this->reader().pop_dead(value);
    this->tell_ended_leases();
    if (a == attempt::done) this->freed(1);
    return outcome_of(a);
  }

 protected:
  void count(std::span<const received> taken) noexcept {
    if constexpr (std::is_same_v<received, std::span<std::byte>>) {
      const bool any_size = this->segment().ring().value_bytes == 0;
      for (const received& message : taken) this->peers().count_messages(1, any_size ? message.size() : 0);
      count_released();
    } else {
      this->peers().count_messages(taken.size());
    }
  }
  /// Leased values that are counted when they are released.
  void count_released() noexcept {
    if constexpr (requires { this->reader().newly_released(); })
      this->peers().count_messages(this->reader().newly_released());
  }

 private:
  outcome pop(received& value) noexcept {
    if (!this->reaches_producers()) [[unlikely]]
      return outcome::unreachable;
    const attempt a = this->reader().pop(value);
    this->tell_hesitation();
    this->tell_ended_leases();
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
    this->tell_hesitation();
    this->tell_ended_leases();
    if (taken != 0) {
      count(values.first(taken));
      this->freed(taken);
    }
    if (a == attempt::lagged) [[unlikely]]
      this->count_losses();
    return outcome_of(a);
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
    if (this->loses_untold()) [[unlikely]]
      return this->tell_loss();
    const outcome o = pop(out);
    return o == outcome::lagged ? this->tell_loss() : o;
  }
  outcome take_n(std::span<message> messages, std::size_t& taken) noexcept {
    taken = 0;
    if (this->loses_untold()) [[unlikely]]
      return this->tell_loss();
    const outcome o = pop_n(messages, taken);
    return o == outcome::lagged && taken == 0 ? this->tell_loss() : o;
  }
  /// See copying_consumer_endpoint.
  bool try_take(message& out) noexcept { return pop(out) == outcome::done; }
  void try_take_n(std::span<message> messages, std::size_t& taken) noexcept { pop_n(messages, taken); }

  /// A loss that was not reported yet stays so.
  outcome take_newest(message& out) noexcept requires newest_ring<Ring> {
    const outcome o = pop_with(out, [this](auto& view) { return this->reader().pop_newest(view); });
    if (o == outcome::done) this->freed(1);  // those before it
    return o;
  }

 private:
  template <class Pop>
  outcome pop_with(message& out, Pop from) noexcept {
    if (!this->reaches_producers()) [[unlikely]]
      return outcome::unreachable;
    typename Ring::reader::view view;
    const attempt a = from(view);
    this->tell_hesitation();
    this->tell_ended_leases();
    if (a == attempt::done) {
      this->peers().count_messages(1, view.bytes.size());
      lend(view, out);
    }
    if (a == attempt::lagged) [[unlikely]]
      this->count_losses();
    return outcome_of(a);
  }
  outcome pop(message& out) noexcept {
    return pop_with(out, [this](auto& view) { return this->reader().pop(view); });
  }
  outcome pop_n(std::span<message> messages, std::size_t& taken) noexcept {
    outcome o = outcome::done;
    for (taken = 0; taken != messages.size(); ++taken) {
      o = pop(messages[taken]);
      if (o != outcome::done) break;
    }
    return o;
  }

 public:
  using dead_type = message;
  outcome take_dead(message& out) noexcept requires holding_ring<Ring> {
    if (!this->reaches_producers()) [[unlikely]]
      return outcome::unreachable;
    typename Ring::reader::view view;
    const attempt a = this->reader().pop_dead(view);
    this->tell_ended_leases();
    if (a == attempt::done) lend(view, out);
    return outcome_of(a);
  }

 private:
  void lend(const typename Ring::reader::view& view, message& out) noexcept {
    ++lent_;
    // Made in its place: to copy in wide words what was just written in narrow ones makes a processor wait.
    std::destroy_at(&out);
    std::construct_at(&out, static_cast<message_source&>(*this), view.bytes, view.position);
    // A producer can skip a place that is held, but not an item that no consumer has taken.
    if constexpr (holding_ring<Ring>) this->freed(1);
  }
  bool release(const lease_ticket& ticket, std::size_t bytes) noexcept override {
    bool done = this->is_open();
    if (done) {
      if constexpr (holding_ring<Ring>) {
        done = this->reader().release(ticket, bytes);
      } else {
        this->reader().release(ticket.index, bytes);
      }
    }
    if (done) this->freed(1);
    let_go();
    return done;
  }
  bool give_back(const lease_ticket& ticket) noexcept override {
    if constexpr (holding_ring<Ring>) {
      return ended(this->is_open() && this->reader().give_back(ticket));
    }
    return false;
  }
  bool reject(const lease_ticket& ticket) noexcept override {
    if constexpr (holding_ring<Ring>) {
      return ended(this->is_open() && this->reader().reject(ticket));
    }
    return false;
  }
  bool ended(bool done) noexcept {
    if (!done) return false;
    this->retry();  // this consumer may take it again, as any other may
    this->tell_returned(true);
    let_go();
    return true;
  }
  void let_go() noexcept {
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
class leasing_consumer_endpoint : public copying_consumer_endpoint<Ring>, private lease_source {
 public:
  using copying_consumer_endpoint<Ring>::copying_consumer_endpoint;
  using copying_consumer_endpoint<Ring>::take_dead;
  using typename basic_consumer_endpoint<Ring>::received;

  /// `room`: for the value of any_channel.
  outcome take_lease(lease<received>& out, [[maybe_unused]] std::span<std::byte> room = {}) noexcept {
    if (!this->reaches_producers()) [[unlikely]]
      return outcome::unreachable;
    if constexpr (lossy_ring<Ring>) {
      if (this->loses_untold()) [[unlikely]]
        return this->tell_loss();
    }
    kept<received> value;
    if constexpr (Ring::traits.any) *value = room;
    lease_ticket ticket;
    const attempt a = this->reader().lease(*value, ticket);
    this->tell_hesitation();
    if (a == attempt::lagged) [[unlikely]] {
      this->count_losses();
      return this->tell_loss();
    }
    if (a == attempt::done) {
      ++held_;
      if constexpr (Ring::traits.any) {
        if (!this->reader().counts_released()) this->count({&*value, 1});
      } else {
        this->peers().count_messages(1);
      }
      out = lease<received>(*this, std::move(value), ticket);
      this->freed(1);  // a producer can skip a leased place, but not an item that no consumer has taken
    }
    this->tell_ended_leases();
    return outcome_of(a);
  }

  using dead_type = lease<received>;
  outcome take_dead(lease<received>& out, [[maybe_unused]] std::span<std::byte> room = {}) noexcept {
    if (!this->reaches_producers()) [[unlikely]]
      return outcome::unreachable;
    kept<received> value;
    if constexpr (Ring::traits.any) *value = room;
    lease_ticket ticket;
    const attempt a = this->reader().lease_dead(*value, ticket);
    this->tell_ended_leases();
    if (a == attempt::done) {
      ++held_;
      out = lease<received>(*this, std::move(value), ticket);
    }
    return outcome_of(a);
  }

 private:
  bool acknowledge(const lease_ticket& ticket) noexcept override {
    const bool done = this->is_open() && this->reader().acknowledge(ticket);
    if (done) {
      this->count_released();
      this->freed(1);
    }
    let_go();
    return done;
  }
  bool give_back(const lease_ticket& ticket) noexcept override {
    return ended(this->is_open() && this->reader().give_back(ticket));
  }
  bool reject(const lease_ticket& ticket) noexcept override {
    return ended(this->is_open() && this->reader().reject(ticket));
  }
  bool ended(bool done) noexcept {
    if (done) {
      this->retry();  // this consumer may take it again, as any other may
      this->tell_returned(true);
    }
    let_go();
    return done;
  }
  void let_go() noexcept {
    if (--held_ == 0) self_.reset();
  }
  void closing() noexcept override {
    if (held_ != 0 || Ring::traits.any) this->reader().leave();  // other rings have more to do than to give back
  }
  void closed() noexcept override {
    if (held_ != 0) self_ = this->shared_from_this();  // leases refer to this endpoint
  }

  std::uint64_t held_ = 0;
  std::shared_ptr<endpoint> self_;
};

template <leasing_ring Ring>
class consumer_endpoint<Ring> final : public leasing_consumer_endpoint<Ring> {
 public:
  using leasing_consumer_endpoint<Ring>::leasing_consumer_endpoint;
};

}  // namespace belfry::detail::inline BELFRY_ASIO_FLAVOUR
