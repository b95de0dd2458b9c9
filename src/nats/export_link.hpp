// A channel of this machine to a subject.
#pragma once

#include "link.hpp"

#include <belfry/any_channel.hpp>

#include <chrono>
#include <cstdint>
#include <deque>
#include <optional>
#include <string>
#include <vector>

namespace belfry::detail::nats {

/// A value stays in the ring, leased, until the server has stored it; `window_` has a copy of each that is on its way.
///
/// Order: every message but the first of a run names the number that the one before it has in the stream, and the server
/// refuses it unless that is the last one. So when the server refuses one (it is full, or has no leader at the moment), it
/// refuses all that follow. Then the run is over: when all its answers have come, the next run begins with the first value
/// that is not stored. The first message of a run names none, and goes alone: its answer tells its number.
///
/// Not by the id of the message before it (Nats-Expected-Last-Msg-Id): each replica of a stream looks at that for itself, and
/// one that has copied messages from its leader, after it was away, does not know the id of the last one. It refuses
/// what the others store, and has lost all of it when it becomes the leader (seen with 2.9.10).
///
/// A value that is too large for one message goes in several ones (see message_part), each of which is an entry of its own; the
/// last one has the lease. So the value leaves the ring when all are stored.
///
/// Ids: with replicas, an id comes once only, where others remove messages from the stream (see renew()).
class export_link final : public link {
 public:
  export_link(bridge& owner, std::string channel, std::string subject, nats_export_options options);

  void begin() override;
  void stop() override;

 private:
  using clock = std::chrono::steady_clock;
  static constexpr std::chrono::seconds most_silence{2};  // of the server, with messages unanswered
  struct entry {
    std::vector<std::byte> data;
    any_channel::consumer::lease_type held;
    std::string id;
    unsigned deliveries = 1;
    unsigned sent = 0;
    message_part part;  // of the value
    bool stored = false;
  };

  net::awaitable<void> session(std::shared_ptr<connection> c) override;
  void session_ended() override;
  void leave() override;

  net::awaitable<void> read();
  net::awaitable<bool> join();
  net::awaitable<bool> go_on_after(error_code ec);
  void add_value(any_channel::consumer::lease_type held, std::optional<std::uint64_t> position);
  bool has_room() const noexcept;
  /// Of a message: what it can have besides its headers.
  std::size_t most_data() const;
  bool goes_in_parts(const entry& e) const;
  void split(std::size_t index);
  /// Whether the stream could have this value, if it were empty. False: the export has ended.
  bool fits_into_stream(const entry& e);

  net::awaitable<step> prepare(std::shared_ptr<connection> c);
  net::awaitable<step> prepare_stream(std::shared_ptr<connection> c);
  void look_at(const nlohmann::json& stream_config);
  net::awaitable<step> prepare_until_done(std::shared_ptr<connection> c);

  void begin_run();
  void pump();
  net::awaitable<void> drain_socket(std::shared_ptr<connection> c);
  bool send(entry& e, std::uint64_t ordinal);
  void on_answer(std::uint64_t run, message_ptr m);
  void refuse(const connection::api_reply& r);
  void renew(entry& e) const;
  void send_anew(std::uint64_t ordinal);
  void end_run(std::chrono::milliseconds pause, bool prepare_again);
  net::awaitable<void> settle(std::shared_ptr<connection> c, std::chrono::milliseconds pause, bool prepare_again);
  void stored(entry& e);
  void release();
  bool has_stream() const noexcept { return kind_ != ring_class::broadcast || options_.keep; }
  /// Messages that name the one before them.
  bool is_chained() const noexcept {
    return has_stream() && kind_ != ring_class::work && kind_ != ring_class::latest && !alone_;
  }
  bool one_at_a_time() const noexcept { return alone_ || (is_chained() && !ahead_); }

  const nats_export_options options_;
  std::optional<any_channel::consumer> rx_;
  ring_class kind_ = ring_class::unknown;
  bool bytes_ = false;
  segment_number segment_ = 0;
  std::string instance_;  // for ids of values that have no position
  std::string description_;
  std::string stream_;
  std::string target_;  // the subject of the messages: that of the export, or of its key in a bucket
  std::vector<std::byte> scratch_;
  std::vector<std::vector<std::byte>> spare_;
  std::optional<std::uint64_t> stored_before_;  // the stream has all values of this segment before this position

  std::deque<entry> window_;
  std::uint64_t first_ = 0;  // number of its first entry
  std::size_t next_ = 0;     // of it, to be sent
  std::size_t window_bytes_ = 0;
  std::unique_ptr<connection::inbox> answers_;         // of this run
  std::unique_ptr<connection::inbox> former_answers_;  // of the one before: what is still on its way
  std::string answer_prefix_;
  std::uint64_t run_ = 0;
  bool running_ = false;
  bool settling_ = false;
  std::uint64_t unanswered_ = 0;  // messages of this run
  std::optional<std::uint64_t> ahead_;  // of this run: a message's number in the stream, less its number here
  bool replicated_ = false;
  std::optional<std::uint64_t> most_bytes_;     // of the stream, which waits for room if they are reached
  std::optional<std::uint64_t> most_messages_;  // the same
  bool alone_ = false;  // others write to the stream: one message at a time
  bool waits_for_room_ = false;
  bool drains_socket_ = false;
  clock::time_point last_answer_{};
  unsigned refusals_ = 0;  // in a row

  signal joined_;
  signal room_;
  signal settled_;
  signal pause_;
  signal tick_;
  signal retry_;
};

}  // namespace belfry::detail::nats
