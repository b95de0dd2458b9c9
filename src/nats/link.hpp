// What an export and an import have in common.
#pragma once

#include "connection.hpp"
#include "net.hpp"

#include <belfry/nats_bridge.hpp>

#include <array>
#include <atomic>
#include <cstdint>
#include <exception>
#include <memory>
#include <mutex>
#include <span>
#include <string>
#include <string_view>
#include <type_traits>
#include <utility>

namespace belfry::detail::nats {

class bridge;
struct subject_description;

/// A key-value bucket is a stream KV_BUCKET, with the subjects $KV.BUCKET.KEY.
inline constexpr const char* bucket_stream_prefix = "KV_";
inline constexpr const char* bucket_subject_prefix = "$KV.";
/// The one in which exports say what their channels are.
inline constexpr const char* bucket = "KV_belfry";
inline constexpr const char* bucket_subject = "$KV.belfry.";

namespace header {
inline constexpr const char* id = "Nats-Msg-Id";
inline constexpr const char* after = "Nats-Expected-Last-Sequence";
inline constexpr const char* deliveries = "Belfry-Deliveries";
inline constexpr const char* hops = "Belfry-Hops";
inline constexpr const char* part = "Belfry-Part";  ///< see message_part
inline constexpr const char* key_operation = "KV-Operation";
// Of calls.
inline constexpr const char* type = "Belfry-Type";          ///< of request and reply: their fingerprint
inline constexpr const char* remaining = "Belfry-Remaining";  ///< nanoseconds to the deadline
inline constexpr const char* outcome = "Belfry-Outcome";    ///< see call_outcome.hpp
}  // namespace header

/// The first half of a segment's random id: enough to tell segments apart.
using segment_number = std::uint64_t;
segment_number number_of(const std::array<std::byte, 16>& segment_id) noexcept;
/// In 16 digits.
std::string text_of(segment_number n);

/// A message's id: `SEGMENT-POSITION`, where values have a position; else `SEGMENT-anything`. Behind it may be `/RUN`: the
/// same value, sent anew; and `/pNUMBER.COUNT`: a part of it.
struct message_id {
  segment_number segment = 0;
  std::uint64_t position = 0;
  bool has_segment = false;
  bool has_position = false;

  static message_id parse(std::string_view text) noexcept;
};
/// Of a value that is too large for one message: `NUMBER/COUNT/BYTES`, from 0 on, and the bytes of the whole value. Its
/// messages follow each other in the stream; an attempt that was broken off may be before them.
struct message_part {
  std::uint64_t number = 0;
  std::uint64_t count = 1;
  std::uint64_t bytes = 0;

  bool is_last() const noexcept { return number + 1 == count; }
  /// False: it is none.
  static bool parse(std::string_view text, message_part& out) noexcept;
};
std::string text_of(const message_part& p);
/// How far a value moves the position of its ring.
std::uint64_t step_of(bool bytes, std::size_t size) noexcept;

enum class ring_class { ordered, work, broadcast, latest, calls, unknown };
ring_class class_of(std::string_view kind) noexcept;

/// A decimal number that is the whole text.
bool parse_number(std::string_view text, std::uint64_t& out) noexcept;

class link : public std::enable_shared_from_this<link> {
 public:
  link(bridge& owner, std::string channel, std::string subject, bool exports);
  virtual ~link() = default;
  link(const link&) = delete;
  link& operator=(const link&) = delete;

  const std::string& channel() const noexcept { return channel_; }
  const std::string& subject() const noexcept { return subject_; }
  bool exports() const noexcept { return exports_; }
  bool is_over() const noexcept { return over_; }
  nats_statistics statistics() const;

  /// On the strand: once, at the beginning.
  virtual void begin() = 0;
  void connected(std::shared_ptr<connection> c);
  void disconnected();
  /// Ends when everything that is on its way has arrived.
  virtual void stop() = 0;
  /// Ends at once.
  void end(nats_event::kind how, std::string text = {});
  /// The same, and nothing is told: another link takes its place.
  void retire();

 protected:
  enum class state { waiting, running, full, failed, drained };
  /// Of what is done before the first message on a connection: `again` after a moment, or the session is over.
  enum class step { done, again, over };

  /// Prepares, passes values on, and returns when the connection is not used any more.
  virtual net::awaitable<void> session(std::shared_ptr<connection> c) = 0;
  virtual void session_ended() = 0;
  /// Leaves the channel.
  virtual void leave() = 0;

  /// Starts a coroutine, which keeps the link.
  template <class Link, class... Arguments>
  void spawn(net::awaitable<void> (Link::*body)(Arguments...), std::type_identity_t<Arguments>... arguments) {
    net::co_spawn(
        executor_,
        [](std::shared_ptr<Link> self, auto run, auto... with) -> net::awaitable<void> {
          co_await ((*self).*run)(std::move(with)...);
        }(std::static_pointer_cast<Link>(shared_from_this()), body, std::move(arguments)...),
        [self = shared_from_this()](std::exception_ptr failed) {
          if (failed) self->fail(failed);
        });
  }
  /// A coroutine has thrown: no memory, or an answer of the server that cannot be read.
  void fail(std::exception_ptr why);
  /// Of an import: what the channel is that is exported to the subject.
  net::awaitable<step> learn(std::shared_ptr<connection> c, subject_description& said);
  /// Of a request that must succeed: ends the link, or tells why it waits.
  step answer_to(const connection::api_reply& r, const std::string& what);
  /// Whether a message that has passed the rings `hops` has left the channel of this import, whose ring is `own`, before.
  /// Then the link has ended. Otherwise exports of this channel pass `hops` on.
  bool is_loop(const std::string& hops, segment_number own);

  bool uses(const std::shared_ptr<connection>& c) const noexcept { return c && connection_ == c && !c->is_lost() && !over_; }
  void tell(nats_event::kind what, std::string text = {});
  /// Once, until something else is told.
  void tell_waiting(const std::string& text);
  void set(state s) noexcept { counters_.state.store(s, std::memory_order_relaxed); }
  void set_ring(std::string kind);
  bool is(state s) const noexcept { return counters_.state.load(std::memory_order_relaxed) == s; }

  bridge& owner_;
  const net::any_io_executor executor_;
  const std::string channel_;
  const std::string subject_;
  const bool exports_;
  std::shared_ptr<connection> connection_;
  bool stopping_ = false;

  using counter = std::atomic<std::uint64_t>;
  struct {
    counter messages{0};
    counter bytes{0};
    counter outstanding{0};
    counter repeated{0};
    counter duplicates{0};
    counter missing{0};
    counter lost{0};
    std::atomic<link::state> state{link::state::waiting};
  } counters_;
  static void add(counter& to, std::uint64_t n = 1) noexcept {
    to.store(to.load(std::memory_order_relaxed) + n, std::memory_order_relaxed);  // written on the strand only
  }

 private:
  void finish();

  bool over_ = false;
  std::string hops_;
  std::string told_;
  mutable std::mutex ring_mutex_;
  std::string ring_;
};

}  // namespace belfry::detail::nats
