// The endpoints of a channel for calls: an endpoint with its side of the ring.
#pragma once

#include <belfry/call.hpp>
#include <belfry/detail/async/call_side.hpp>
#include <belfry/detail/async/endpoint.hpp>
#include <belfry/ring/byte_call_ring.hpp>
#include <belfry/ring/call_ring.hpp>
#include <belfry/ring/message.hpp>

#include <algorithm>
#include <cstddef>
#include <cstdint>
#include <cstring>
#include <memory>
#include <optional>
#include <span>
#include <type_traits>
#include <utility>
#include <vector>

namespace belfry::detail::inline BELFRY_ASIO_FLAVOUR {

// ---- clients ------------------------------------------------------------------------------------------

/// The client of a call, as the call sees it.
class calling_endpoint : public endpoint {
 public:
  using endpoint::endpoint;
  virtual void give_up(const call_ticket& ticket) noexcept = 0;
};

/// A call of this client that has a place in the ring. Its end gives it up. Movable.
class begun_call {
 public:
  begun_call() noexcept = default;
  begun_call(calling_endpoint& client, const call_ticket& ticket) noexcept : client_(&client), ticket_(ticket) {}
  begun_call(begun_call&& other) noexcept : client_(std::exchange(other.client_, nullptr)), ticket_(other.ticket_) {}
  begun_call& operator=(begun_call&& other) noexcept {
    if (this != &other) {
      reset();
      client_ = std::exchange(other.client_, nullptr);
      ticket_ = other.ticket_;
    }
    return *this;
  }
  ~begun_call() { reset(); }

  explicit operator bool() const noexcept { return client_ != nullptr; }
  call_ticket& ticket() noexcept { return ticket_; }
  const call_ticket& ticket() const noexcept { return ticket_; }
  /// It has ended.
  void release() noexcept { client_ = nullptr; }
  void reset() noexcept {
    if (client_ != nullptr) std::exchange(client_, nullptr)->give_up(ticket_);
  }

 private:
  calling_endpoint* client_ = nullptr;
  call_ticket ticket_;
};

template <class Ring>
struct call_types;
template <class Request, class Reply, std::size_t N>
struct call_types<call_ring<Request, Reply, N>> {
  using request = Request;
  using reply = Reply;
  using accepted = call<Request, Reply>;
};
template <>
struct call_types<byte_call_ring> {
  using request = std::span<const std::byte>;
  using reply = message;
  using accepted = byte_call;
};

/// Common to both kinds of ring.
template <calling_ring Ring>
class basic_client_endpoint : public calling_endpoint {
 public:
  using reply_type = typename call_types<Ring>::reply;

  explicit basic_client_endpoint(net::any_io_executor executor, const channel_options& options = {})
      : calling_endpoint(std::move(executor), Ring::traits, layout::role::producer, options) {}

  /// A place for a request. `would_block`: there is none, and the client wants to wait.
  outcome reserve(begun_call& out) noexcept {
    if (!peers().reaches_peers()) [[unlikely]]
      return outcome::unreachable;
    if (!options().wait_for_server && !peers().has_live_peer()) return outcome::no_server;
    call_ticket ticket;
    const attempt a = side_->claim(ticket);
    if (a == attempt::done) out = begun_call(*this, ticket);
    if (a == attempt::would_block && !options().wait_for_place) return outcome::overloaded;
    return outcome_of(a);
  }
  /// The request is written: for any server.
  outcome publish(begun_call& c, call_clock::time_point deadline, std::uint64_t bytes) noexcept {
    place(c).deadline.store(call_time(deadline), std::memory_order_relaxed);
    const attempt a = side_->submit(c.ticket(), options().retry == retry::another_server);
    if (a != attempt::done) {
      c.release();
      return outcome_of(a);
    }
    peers().count_messages(1, bytes);
    peers().notify();
    return outcome::done;
  }
  /// Whether an attempt to reserve would not block.
  bool has_room() noexcept {
    return side_->has_room() || !options().wait_for_place || (!options().wait_for_server && !peers().has_live_peer());
  }

  /// Whether the call has ended, or has to end now.
  bool is_over(const begun_call& c, call_clock::time_point deadline) noexcept {
    if (!is_open()) return true;
    switch (side_->look_at(c.ticket())) {
      case call_progress::waiting:
        if (!options().wait_for_server && !peers().has_live_peer()) return true;
        break;
      case call_progress::taken: break;
      default: return true;
    }
    return is_expired(deadline);
  }
  bool is_expired(call_clock::time_point deadline) noexcept {
    if (deadline == call_clock::time_point::max()) return false;
    if (call_clock::now() >= deadline) return true;
    look_again_at(deadline);
    return false;
  }

  /// Ends a call that is over: with its reply, or with an error that is true. Called where the client may be used.
  std::error_code conclude(begun_call& c, call_clock::time_point deadline, reply_type& reply) noexcept {
    if (!is_open()) {
      c.release();
      return operation_aborted();
    }
    if (!c) return make_error_code(errc::not_started);
    const call_ticket ticket = c.ticket();
    c.release();
    for (int i = 0; i != 2; ++i) {
      switch (side_->look_at(ticket)) {
        case call_progress::answered: return take_reply(ticket, reply);
        case call_progress::refused:
          refusal_ = decode_error(side_->place(ticket.index).outcome.load(std::memory_order_relaxed));
          free(ticket);
          return make_error_code(errc::refused);
        case call_progress::lost: free(ticket); return unanswered(call_clock::now() >= deadline);
        case call_progress::corrupted: return make_error_code(errc::corrupted);
        case call_progress::waiting:
        case call_progress::taken: break;
      }
      const bool expired = call_clock::now() >= deadline;
      std::size_t server = 0;
      switch (side_->withdraw(ticket, server)) {
        case call_end::not_started:
          peers().notify_rival();
          return make_error_code(expired ? errc::not_started : errc::no_server);
        case call_end::given_back:
          peers().notify_rival();
          return unanswered(expired);
        case call_end::abandoned:
          peers().notify_one(server);
          return unanswered(expired);
        case call_end::over: break;  // just now
      }
    }
    return make_error_code(errc::corrupted);
  }
  /// A server had it. Whether that has dropped it does not matter after the deadline: servers see it pass, too.
  static std::error_code unanswered(bool expired) noexcept {
    return make_error_code(expired ? errc::deadline_exceeded : errc::maybe_executed);
  }
  void give_up(const call_ticket& ticket) noexcept override {
    if (!is_open()) return;
    std::size_t server = 0;
    switch (side_->withdraw(ticket, server)) {
      case call_end::abandoned: return peers().notify_one(server);
      case call_end::over: return free(ticket);
      case call_end::not_started:
      case call_end::given_back: return peers().notify_rival();
    }
  }

  /// The error code of the last call that was refused.
  const std::error_code& refusal() const noexcept { return refusal_; }

  bool ready() noexcept override { return side_->has_room(); }
  bool corrupted() const noexcept override { return side_->corrupted(); }
  typename Ring::client& side() noexcept { return *side_; }

  // ---- calls that the user looks at, in a foreign loop

  void watch(const begun_call& c, call_clock::time_point deadline) { watched_.push_back({c.ticket(), deadline}); }
  void unwatch(const call_ticket& ticket) noexcept {
    std::erase_if(watched_, [&](const watched& w) {
      return w.ticket.index == ticket.index && w.ticket.word.generation == ticket.word.generation;
    });
  }
  void wants_room(bool wants) noexcept { wants_room_ = wants; }
  bool has_work() noexcept override {
    for (const watched& w : watched_) {
      begun_call seen(*this, w.ticket);
      const bool over = is_over(seen, w.deadline);
      seen.release();
      if (over) return true;
    }
    return wants_room_ && has_room();
  }
  bool competes() const noexcept override { return wants_room_; }

 protected:
  void attach(const ring_memory& memory, std::size_t slot) override { side_.emplace(memory, slot); }
  void closing() noexcept override { side_->leave(); }

  layout::call_place& place(const begun_call& c) noexcept { return side_->place(c.ticket().index); }
  void free(const call_ticket& ticket) noexcept {
    if (side_->release(ticket)) peers().notify_rival();
  }
  virtual std::error_code take_reply(const call_ticket& ticket, reply_type& reply) noexcept = 0;

 private:
  struct watched {
    call_ticket ticket;
    call_clock::time_point deadline;
  };

  std::optional<typename Ring::client> side_;
  std::error_code refusal_;
  std::vector<watched> watched_;
  bool wants_room_ = false;
};

template <calling_ring Ring>
class client_endpoint;

template <class Request, class Reply, std::size_t N>
class client_endpoint<call_ring<Request, Reply, N>> final : public basic_client_endpoint<call_ring<Request, Reply, N>> {
  using base = basic_client_endpoint<call_ring<Request, Reply, N>>;
  using access = call_access<Request, Reply>;

 public:
  using base::base;

  outcome begin(const Request& request, call_clock::time_point deadline, begun_call& out) noexcept {
    const outcome o = this->reserve(out);
    if (o != outcome::done) return o;
    access::store_request(this->place(out), request);
    return this->publish(out, deadline, 0);
  }
  bool can_begin(const Request&) noexcept { return this->has_room(); }

 private:
  std::error_code take_reply(const call_ticket& ticket, Reply& reply) noexcept override {
    access::load_reply(this->side().place(ticket.index), reply);
    this->free(ticket);
    return {};
  }
};

template <calling_ring Ring>
class in_place_client_endpoint;

}  // namespace belfry::detail::inline BELFRY_ASIO_FLAVOUR

namespace belfry::inline BELFRY_ASIO_FLAVOUR {

/// Room for one request of a byte_call_ring, written in place in the ring; then it is given to `call` or `async_call`.
/// If it is destroyed before, its place is free again. Any number may be held; it must not be written to after its
/// client was closed. Movable, not copyable, not thread-safe.
class [[nodiscard]] call_claim {
 public:
  call_claim() noexcept = default;
  call_claim(std::shared_ptr<detail::endpoint> client, detail::begun_call&& c, std::span<std::byte> bytes) noexcept
      : client_(std::move(client)), call_(std::move(c)), bytes_(bytes) {}
  call_claim(call_claim&&) noexcept = default;
  call_claim& operator=(call_claim&& other) noexcept {
    call_ = std::move(other.call_);  // before its client may go
    client_ = std::move(other.client_);
    bytes_ = other.bytes_;
    return *this;
  }

  std::span<std::byte> bytes() const noexcept { return call_ ? bytes_ : std::span<std::byte>(); }
  std::size_t size() const noexcept { return bytes().size(); }
  /// Whether there was room.
  explicit operator bool() const noexcept { return static_cast<bool>(call_); }
  /// The request is only the first `bytes` of the room.
  void shrink(std::size_t bytes) noexcept { bytes_ = bytes_.first(std::min(bytes, bytes_.size())); }

 private:
  template <detail::calling_ring>
  friend class detail::in_place_client_endpoint;

  std::shared_ptr<detail::endpoint> client_;  // keeps the memory mapped
  detail::begun_call call_;
  std::span<std::byte> bytes_;
};

}  // namespace belfry::inline BELFRY_ASIO_FLAVOUR

namespace belfry::detail::inline BELFRY_ASIO_FLAVOUR {

/// Of a ring whose requests and replies are bytes, which are written and read where they lie.
template <calling_ring Ring>
class in_place_client_endpoint : public basic_client_endpoint<Ring>, private message_source {
  using base = basic_client_endpoint<Ring>;

 public:
  using base::base;

  /// Of requests.
  std::uint64_t largest() const noexcept { return this->is_open() ? rooms_.request_bytes : 0; }

  outcome begin(std::span<const std::byte> request, call_clock::time_point deadline, begun_call& out) noexcept {
    if (!rooms_.fits_request(request.size())) return misfit();
    const outcome o = this->reserve(out);
    if (o != outcome::done) return o;
    if (!request.empty()) std::memcpy(rooms_.request(this->place(out)).data(), request.data(), request.size());
    return submit_bytes(out, deadline, request.size());
  }
  bool can_begin(std::span<const std::byte> request) noexcept {
    return !rooms_.fits_request(request.size()) || this->has_room();
  }

  /// The claim becomes the call.
  outcome begin(call_claim& claim, call_clock::time_point deadline, begun_call& out) noexcept {
    if (!claim) return outcome::denied;
    if (!rooms_.fits_request(claim.bytes_.size())) return misfit();
    if (!this->peers().reaches_peers()) return outcome::unreachable;
    if (!this->options().wait_for_server && !this->peers().has_live_peer()) return outcome::no_server;
    out = std::move(claim.call_);
    return submit_bytes(out, deadline, claim.bytes_.size());
  }
  bool can_begin(call_claim&) noexcept { return true; }

  outcome claim(std::uint64_t bytes, call_claim& out) noexcept {
    if (!rooms_.fits_request(bytes)) return misfit();
    begun_call c;
    const outcome o = this->reserve(c);
    if (o != outcome::done) return o;
    const std::span<std::byte> room = rooms_.request(this->place(c));
    out = call_claim(this->shared_from_this(), std::move(c), room.first(static_cast<std::size_t>(bytes)));
    return outcome::done;
  }

 protected:
  void attach(const ring_memory& memory, std::size_t slot) override {
    base::attach(memory, slot);
    rooms_ = call_rooms::of_messages(memory.message_bytes);
  }
  /// Before the first call.
  void set_rooms(const call_rooms& rooms) noexcept { rooms_ = rooms; }

 private:
  outcome misfit() const noexcept { return rooms_.exact ? outcome::wrong_size : outcome::too_large; }
  outcome submit_bytes(begun_call& c, call_clock::time_point deadline, std::uint64_t bytes) noexcept {
    this->place(c).request_bytes.store(bytes, std::memory_order_relaxed);
    return this->publish(c, deadline, rooms_.exact ? 0 : bytes);
  }

  std::error_code take_reply(const call_ticket& ticket, message& reply) noexcept override {
    layout::call_place& p = this->side().place(ticket.index);
    const std::uint64_t bytes = rooms_.exact ? rooms_.reply_bytes : p.outcome.load(std::memory_order_relaxed);
    if (!rooms_.fits_reply(bytes)) {
      this->free(ticket);
      return make_error_code(errc::corrupted);
    }
    ++lent_;
    reply = message(*this, rooms_.reply(p).first(static_cast<std::size_t>(bytes)),
                    lease_ticket{.index = static_cast<std::size_t>(ticket.index),
                                 .lap = ticket.word.generation,
                                 .deliveries = 1});
    return {};
  }
  bool release(const lease_ticket& held, std::size_t) noexcept override {
    const bool open = this->is_open();
    if (open) {
      call_ticket ticket;
      ticket.index = held.index;
      ticket.word.generation = held.lap;
      this->free(ticket);
    }
    if (--lent_ == 0) self_.reset();
    return open;
  }
  void closed() noexcept override {
    if (lent_ != 0) self_ = this->shared_from_this();  // keep the memory mapped while the user holds replies
  }

  call_rooms rooms_;
  std::uint64_t lent_ = 0;
  std::shared_ptr<endpoint> self_;
};

template <>
class client_endpoint<byte_call_ring> final : public in_place_client_endpoint<byte_call_ring> {
 public:
  using in_place_client_endpoint::in_place_client_endpoint;
};

/// void(error_code, Reply)
template <class Endpoint, class Payload>
struct call_action {
  Endpoint* endpoint;
  Payload request;
  call_clock::time_point deadline;
  begun_call begun{};

  outcome try_once() noexcept {
    if (begun) return ready() ? outcome::done : outcome::would_block;
    if (endpoint->is_expired(deadline)) return outcome::done;
    const outcome o = endpoint->begin(request, deadline, begun);
    return o == outcome::done ? outcome::would_block : o;
  }
  bool ready() noexcept {
    return begun ? endpoint->is_over(begun, deadline) : endpoint->is_expired(deadline) || endpoint->can_begin(request);
  }
  bool is_begun() const noexcept { return static_cast<bool>(begun); }
  bool is_expired() noexcept { return endpoint->is_expired(deadline); }
  void give_up() noexcept { begun.reset(); }
  template <class Handler>
  auto finish(Handler& handler, const error_code& ec) {
    typename Endpoint::reply_type reply{};
    const error_code result = ec ? ec : to_net(endpoint->conclude(begun, deadline, reply));
    return std::move(handler)(result, std::move(reply));
  }
};
template <class Endpoint, class Payload>
inline constexpr bool is_call<call_action<Endpoint, Payload>> = true;

/// void(error_code, call_claim)
template <class Endpoint>
struct call_claim_action {
  Endpoint* endpoint;
  std::size_t bytes;
  call_claim result{};

  outcome try_once() noexcept { return endpoint->claim(bytes, result); }
  bool ready() noexcept { return bytes > endpoint->largest() || endpoint->has_room(); }
  template <class Handler>
  auto finish(Handler& handler, const error_code& ec) {
    return std::move(handler)(ec, std::move(result));
  }
};

// ---- servers --------------------------------------------------------------------------------------------

template <calling_ring Ring>
class basic_server_endpoint : public serving_endpoint {
  using types = call_types<Ring>;

 public:
  using accepted = typename types::accepted;

  explicit basic_server_endpoint(net::any_io_executor executor, const channel_options& options = {})
      : serving_endpoint(std::move(executor), Ring::traits, layout::role::consumer, options) {}

  outcome take(accepted& out) noexcept {
    if (!peers().reaches_peers()) [[unlikely]]
      return outcome::unreachable;
    held_call c;
    std::uint64_t deadline = 0;
    const attempt a = side_->take(c.ticket, deadline);
    if (a != attempt::done) return outcome_of(a);
    c.deadline = call_deadline(deadline);
    ++held_;
    return deliver(c, out);
  }

  bool ready() noexcept override { return side_->readable(); }
  bool corrupted() const noexcept override { return side_->corrupted(); }
  typename Ring::server& side() noexcept { return *side_; }
  /// Also if a call was abandoned, and the user does not know it yet.
  bool has_work() noexcept override { return ready() || (held_ != told_ && side_->abandoned() > told_); }

 protected:
  /// Before the first call; of a ring whose requests and replies are bytes.
  void set_rooms(const call_rooms& rooms) noexcept { rooms_ = rooms; }

 private:
  void attach(const ring_memory& memory, std::size_t slot) override {
    side_.emplace(memory, slot);
    rooms_ = call_rooms::of_messages(memory.message_bytes);
  }
  void closing() noexcept override { side_->leave(); }
  void closed() noexcept override {
    if (held_ != 0) self_ = shared_from_this();  // calls refer to this endpoint
  }

  outcome deliver(const held_call& c, accepted& out) noexcept {
    layout::call_place& p = place(c);
    if constexpr (std::is_same_v<accepted, byte_call>) {
      const std::uint64_t bytes = rooms_.exact ? rooms_.request_bytes : p.request_bytes.load(std::memory_order_relaxed);
      if (!rooms_.fits_request(bytes)) {  // another process has written that
        p.outcome.store(encode_error(make_error_code(errc::corrupted)), std::memory_order_relaxed);
        if (side_->answer(c.ticket, layout::call_state::refused)) peers().notify_one(client_of(c));
        --held_;
        return outcome::corrupted;
      }
      peers().count_messages(1, rooms_.exact ? 0 : bytes);
      out = byte_call(*this, c, rooms_.request(p).first(static_cast<std::size_t>(bytes)));
    } else {
      typename types::request request;
      call_access<typename types::request, typename types::reply>::load_request(p, request);
      peers().count_messages(1);
      out = accepted(*this, c, request);
    }
    return outcome::done;
  }
  layout::call_place& place(const held_call& c) noexcept override { return side_->place(c.ticket.index); }
  std::span<std::byte> reply_room(const held_call& c) noexcept override {
    if constexpr (std::is_same_v<accepted, byte_call>) return rooms_.reply(place(c));
    return {};
  }
  bool fits_reply(std::uint64_t bytes) const noexcept override { return rooms_.fits_reply(bytes); }
  bool end(const held_call& c, layout::call_state how) noexcept override {
    bool done = false;
    if (is_open()) {
      done = side_->answer(c.ticket, how);
      if (done) {
        peers().notify_one(client_of(c));
      } else {
        peers().notify();  // the place is free
      }
      look_at_conditions();
    }
    let_go();
    return done;
  }
  void drop(const held_call& c) noexcept override {
    if (is_open()) {
      switch (side_->drop(c.ticket)) {
        case layout::call_state::lost: peers().notify_one(client_of(c)); break;
        case layout::call_state::ready:
          retry();  // this server may take it again, as any other may
          peers().hand_off();
          break;
        default: peers().notify(); break;
      }
      look_at_conditions();
    }
    let_go();
  }
  bool give_back(const held_call& c) noexcept override {
    bool done = false;
    if (is_open()) {
      done = side_->give_back(c.ticket) == layout::call_state::ready;
      if (done) {
        retry();  // as in drop()
        peers().hand_off();
      } else {
        peers().notify();  // the place is free
      }
      look_at_conditions();
    }
    let_go();
    return done;
  }
  static std::size_t client_of(const held_call& c) noexcept { return std::size_t{c.ticket.word.client} - 1; }
  bool is_abandoned(const held_call& c) noexcept override { return side_->is_abandoned(c.ticket); }
  void told_abandoned(bool knows) noexcept override { knows ? ++told_ : --told_; }
  void let_go() noexcept {
    if (--held_ == 0) self_.reset();
  }

  std::optional<typename Ring::server> side_;
  call_rooms rooms_;
  std::uint64_t held_ = 0;
  std::uint64_t told_ = 0;  // of those that were abandoned
  std::shared_ptr<endpoint> self_;
};

template <calling_ring Ring>
class server_endpoint final : public basic_server_endpoint<Ring> {
 public:
  using basic_server_endpoint<Ring>::basic_server_endpoint;
};

/// void(error_code, call)
template <class Endpoint>
struct accept_action {
  Endpoint* endpoint;
  typename Endpoint::accepted result{};

  outcome try_once() noexcept { return endpoint->take(result); }
  bool ready() noexcept { return endpoint->ready(); }
  template <class Handler>
  auto finish(Handler& handler, const error_code& ec) {
    return std::move(handler)(ec, std::move(result));
  }
};

}  // namespace belfry::detail::inline BELFRY_ASIO_FLAVOUR
