// A subject to a channel of this machine.
#pragma once

#include "import_mark.hpp"
#include "jetstream.hpp"
#include "link.hpp"
#include "parts.hpp"

#include <belfry/any_channel.hpp>

#include <chrono>
#include <cstdint>
#include <deque>
#include <optional>
#include <random>
#include <string>
#include <vector>

namespace belfry::detail::nats {

/// Messages come from a pull consumer into `inbox_`; one coroutine, which outlives connections, puts them into the ring.
///
/// Order, for an spsc_ring and a byte_ring: a consumer that is made anew on each connection gives all messages that are
/// not acknowledged, in order. (One that existed before would give those that its last user had asked for later, and
/// others before them.) What has come already is told by the mark, by the position that each value had in its ring, and
/// not passed on: see import_mark.hpp. A message is pushed, then marked, then acknowledged. If a bridge is killed between
/// the push and the mark, the next one finds the ring's position behind the marked one, by the size of just this message.
///
/// Names of these consumers: `DURABLE-0` to `DURABLE-f`, one after the other, beginning at random; former ones are removed.
/// Two after each other do not have the same name: a server of a cluster that was away while the first one was removed and
/// the second one made would take the second for the first, and never be one of its majority (seen with NATS 2.9.10).
/// There are only 16 names because a server may also keep a consumer that the cluster does not list any more. Then a work
/// queue refuses every other consumer, until one with the same name is made: that server uses the old one for it. So after
/// a refusal the import tries the next names. The first consumer that it gets may be the old one, which remembers what it
/// has delivered: the import removes it, and makes another one.
///
/// A value that comes in parts is pushed when all are here; until then nothing of it is marked or acknowledged.
class import_link final : public link {
 public:
  import_link(bridge& owner, std::string subject, std::string channel, nats_import_options options);

  void begin() override;
  void stop() override;

 private:
  using clock = std::chrono::steady_clock;
  static constexpr std::chrono::nanoseconds heartbeat = std::chrono::seconds(1);
  // Of the server, with messages asked for; the second one, if a new consumer has not been heard of: its servers may first
  // have to elect a leader.
  static constexpr auto longest_pause = 3 * heartbeat;
  static constexpr auto longest_beginning = 10 * heartbeat;
  static constexpr auto look_at_replicas = 5 * heartbeat;

  net::awaitable<void> session(std::shared_ptr<connection> c) override;
  void session_ended() override;
  void leave() override;

  net::awaitable<step> prepare(std::shared_ptr<connection> c);
  net::awaitable<step> prepare_consumer(std::shared_ptr<connection> c);
  net::awaitable<void> spread_consumer(std::shared_ptr<connection> c);
  net::awaitable<step> find_former_consumers(std::shared_ptr<connection> c, std::vector<std::string>& out);
  std::string next_consumer(const std::vector<std::string>& former);
  step join(const std::string& description);

  void on_message(const std::shared_ptr<connection>& c, message_ptr m);
  void on_status(std::string_view status, natsMsg* m);
  void ask_for_more();
  void still_working();

  net::awaitable<void> confirm();

  net::awaitable<void> push();
  net::awaitable<void> deliver(message_ptr m);
  net::awaitable<bool> put(std::span<const std::byte> value, unsigned deliveries);
  bool fits(std::uint64_t size);
  bool has_come(const message_id& id, const delivery& d, std::size_t size);
  bool is_marked(const message_id& id) const noexcept;
  void mark(const message_id& id, const delivery& d, std::size_t size);
  /// Whether the mark is about the ring that this link has joined; and its position now.
  bool is_local(const received_mark& m) const noexcept;
  void set_local(received_mark& m) const noexcept;
  void acknowledge(std::string_view reply);
  std::uint64_t batch() const noexcept;

  const nats_import_options options_;
  std::optional<any_channel::producer> tx_;
  ring_class kind_ = ring_class::unknown;
  bool bytes_ = false;
  std::string stream_;  // empty: a subject without one
  std::string source_subject_;  // of the messages: that of the import, or of its key in a bucket
  std::optional<import_mark> mark_;
  std::uint64_t source_ = 0;  // as received_mark
  bool knows_last_push_ = false;  // the ring and the mark agree
  std::uint64_t last_sequence_ = 0;  // of what was pushed last
  std::uint64_t uncertain_to_ = 0;   // work up to here may have been given out before, though the server does not say so

  std::unique_ptr<connection::inbox> messages_;
  std::string inbox_name_;
  std::string pull_prefix_;
  std::string consumer_;
  unsigned incarnation_ = std::random_device()();  // its digit is the last one of this
  bool unlisted_ = false;  // a server has perhaps a consumer that is not listed: the next one that is made may be this one
  std::string consumer_request_;  // of one with replicas: as it was made
  std::deque<message_ptr> inbox_;
  value_parts parts_;  // of the value that comes now
  std::size_t inbox_bytes_ = 0;
  std::uint64_t wanted_ = 0;  // asked for, and not come yet
  std::uint64_t asked_ = 0;
  std::uint64_t next_consumer_sequence_ = 1;
  std::uint64_t average_ = 4096;  // size of a message
  bool ends_session_ = false;     // prepare again
  bool consumer_gone_ = false;     // another bridge, or a user of NATS, has removed it
  bool waited_for_other_ = false;  // since then
  clock::time_point last_heard_{};
  bool heard_ = false;            // anything from this consumer
  message_ptr last_;              // the last one that was acknowledged

  signal came_;
  signal pause_;
  signal tick_;
};

}  // namespace belfry::detail::nats
