// Channels that go on on other machines, over NATS. Of the library belfry-nats; not part of belfry.hpp.
#pragma once

#include <belfry/asio.hpp>
#include <belfry/detail/base/api.hpp>
#include <belfry/error.hpp>

#include <chrono>
#include <concepts>
#include <cstddef>
#include <cstdint>
#include <functional>
#include <memory>
#include <optional>
#include <string>
#include <utility>
#include <vector>

namespace belfry {

/// How to reach the servers. Files are read, and addresses resolved, at each connecting.
struct nats_options {
  /// `nats://host:port`, `tls://…`, also with `user:password@`. The other servers of their cluster are found by the
  /// client; after the loss of one it tries the next.
  std::vector<std::string> servers{"nats://127.0.0.1:4222"};
  std::string client_name = "belfry";  ///< as the server lists it

  std::string user;
  std::string password;
  std::string token;
  std::string credentials;  ///< a file `.creds`: a user's JWT and NKey
  std::string nkey;         ///< the public key of `nkey_seed`
  std::string nkey_seed;    ///< a file

  bool tls = false;
  std::string tls_ca;           ///< files, PEM
  std::string tls_certificate;
  std::string tls_key;
  std::string tls_host;  ///< the name in the server's certificate, if it is not that of the address

  std::chrono::milliseconds connect_timeout{2000};
  std::chrono::milliseconds reconnect_wait{1000};  ///< between attempts, without end
  std::chrono::milliseconds ping_interval{1000};   ///< after three without an answer the connection is lost
};

/// What an exported channel becomes. A stream that is there already is used as it is, if it has the subject.
struct nats_export_options {
  std::string stream;       ///< its name (of a latest: of the bucket); empty: the subject, with `-` for each dot
  bool create = true;       ///< the stream, if there is none
  unsigned mode = 0600;     ///< of a channel of another user: see channel_options::mode
  bool keep = false;        ///< a broadcast: in a stream, from which an importing bridge gets also what it has missed
  bool split = false;       ///< spsc, byte: a message that is larger than the server takes goes in parts
  bool memory = false;      ///< the stream is in the server's memory, not in files
  unsigned replicas = 1;
  std::int64_t max_bytes = -1;  ///< of the stream. When it is full the export waits; a broadcast that is kept discards
  std::int64_t max_messages = -1;                ///< the same
  std::chrono::nanoseconds max_age{0};           ///< 0: no limit
  std::chrono::nanoseconds duplicate_window = std::chrono::minutes(2);
  std::size_t outstanding_messages = 4096;       ///< sent, and not yet acknowledged by the server; calls without an answer
  std::size_t outstanding_bytes = 4 << 20;
};

struct nats_import_options {
  unsigned mode = 0600;    ///< of the channel, if the bridge makes it: as channel_options::mode
  bool oldest = false;     ///< a broadcast that is kept: begin with the oldest message; else with the next one
  /// Name of the consumer in JetStream; empty: "belfry". One for each machine that is to get a copy. Of an spsc_ring or
  /// byte_ring it is followed by `-` and a hexadecimal digit, another one for each connection; consumers of the stream with
  /// such names are removed.
  std::string durable;
  std::size_t batch = 1024;  ///< messages that are asked for at a time, at most
  std::chrono::nanoseconds ack_wait = std::chrono::seconds(30);  ///< work: then the server gives it to another machine
};

/// What has happened to a bridge.
struct nats_event {
  enum class kind {
    connected,     ///< to a server: `text` is its address
    disconnected,  ///< `text` says why; it reconnects
    refused,       ///< the server has refused something: credentials, a publish, a subscription
    waiting,       ///< for the channel, the stream or the export at the other end, which are not there yet
    running,       ///< values pass
    full,          ///< the server's stream has no room: the export waits, and tries again
    peer,          ///< the local producer or consumer has left, or was killed
    gap,           ///< values are missing: another consumer has taken them, or the server has lost them
    lost,          ///< values of a broadcast were lost; or calls, and whether they were executed is not known
    failed,        ///< this export or import has ended; nothing that it had not passed on was acknowledged
    drained,       ///< it has ended as stop() wanted
  };
  kind what{};
  std::string channel;  ///< empty: it is about the connection
  std::string subject;
  bool exports = false;
  std::string text;
};

/// One export or import, or their connection.
struct nats_statistics {
  std::string channel;
  std::string subject;
  bool exports = false;
  std::string ring;          ///< as channel_info::kind; empty: not known yet
  std::string state;         ///< "waiting", "running", "full", "failed", "drained"
  std::uint64_t messages = 0;  ///< passed on: acknowledged by the server, or in the local ring; calls: answered
  std::uint64_t bytes = 0;
  std::uint64_t outstanding = 0;  ///< on their way
  std::uint64_t repeated = 0;     ///< sent again, because no acknowledgement had come; calls: given back
  std::uint64_t duplicates = 0;   ///< that came again, and were not passed on
  std::uint64_t missing = 0;      ///< see nats_event::kind::gap
  std::uint64_t lost = 0;
};

namespace detail::nats {

class bridge;

}  // namespace detail::nats

inline namespace BELFRY_ASIO_FLAVOUR {

/// Ties channels of this machine to subjects of a NATS server, and so to channels of other machines. `belfry bridge` is
/// this, as a program.
///
///     net::io_context io;
///     belfry::nats_options options;
///     options.servers = {"nats://hub.example:4222"};
///     belfry::nats_bridge bridge(io, options);
///     bridge.on_event([](const belfry::nats_event& e) { std::clog << e.channel << ": " << e.text << '\n'; });
///     bridge.export_channel("ticks", "plant.ticks");        // there: import_channel("plant.ticks", "ticks")
///     io.run();
///
/// An export joins the channel as a consumer or server does, when there is such a channel. It tells the other machines what the
/// channel is (in the key-value bucket `belfry`, at the subject), so that an import makes the same channel: ring, type,
/// capacity, mode of a broadcast, lifetime, participants. A channel that is there already, and is another one, is refused,
/// and the event says what differs. What is a value for the one is one for the other: the machines have the same byte
/// order, and the types are compared as always.
///
/// | ring | at the server | what holds |
/// |---|---|---|
/// | spsc_ring, byte_ring | a work-queue stream | in order, each value once, also when a bridge or the server is killed at any moment and started again. A value leaves the ring when the server has stored it |
/// | work_ring, byte_work_ring | a work-queue stream | at least once: an item that is delivered again has a higher deliveries(). (So has, by one, what waits in the stream when an import reconnects: a killed server may have forgotten what it had given out.) It leaves the ring when the server has stored it |
/// | broadcast_ring, byte_broadcast_ring | a subject, or, `keep`, a stream with limits | at most once; values that come while the importing bridge is not there are missed, unless they are kept |
/// | latest | a key-value bucket, in which the subject is the key | the newest |
/// | call_ring, byte_call_ring | requests to the subject; nothing is kept | each call ends as one on this machine does; see below |
///
/// Calls: the clients are where the channel is exported, the servers where it is imported, on any number of machines, and
/// any number of machines may export it. A call goes to one importing bridge whose channel has a server, with the deadline
/// that is left. The bridge is a server of the exported channel only as long as there is such a machine: else a client
/// finds that there is no server, or waits, as it has chosen. How a call ends:
///
///   the reply, `errc::refused`   as its server has answered; refusal() is the server's
///   `errc::not_started`          also if the machine that it went to had no server or no place for it, until its deadline
///   `errc::no_server`            also if no import listens at the subject any more
///   `errc::maybe_executed`       its server, or a bridge that had it, was killed, or a connection was lost, before the reply
///                                had come; with `retry::another_server` it is delivered again, perhaps to another machine
///   `errc::refused`              also: refusal() is `errc::message_too_large` for a request or reply that the NATS server does
///                                not take (the call was executed if it is the reply), and `errc::incompatible` if the
///                                channel there has become one of other types
///
/// What `deliveries()` says to a server counts on its own machine only.
///
/// When a client cancels a call, or is killed, its server is told, within a fraction of a second. The death of an importing
/// bridge, or of its machine, is noticed within some seconds. A reply that comes too late is discarded. While a machine has
/// no place for a call, the call keeps its place in the exported channel: so no more calls are on their way than it has
/// places.
///
/// While the server is away, or its stream is full, nothing is taken from the ring beyond `outstanding_messages`: the ring
/// fills, and the producer waits. Nothing is dropped, however long that takes.
///
/// The importing side of an spsc_ring or byte_ring keeps a mark, in the block `NAME.nats` in shared memory: up to where
/// its channel has received the stream. It lives as long as the ring does. With it, a value that came twice, because the
/// server forgot its message id after the duplicate window, or when it was killed, or because a stream with replicas has
/// lost its leader, is not passed on twice. There is one gap: a bridge is killed between the push of one value and the
/// mark, *and* the channel is gone, with its last consumer, before the bridge is started again; then that value comes
/// twice.
///
/// A message that is larger than the server takes (its `max_payload`, less 400 bytes for headers) ends the export, and stays
/// in the ring. With `split` a message of an spsc_ring or byte_ring goes in parts instead: messages of the stream that
/// follow each other, whose header `Belfry-Part` is `NUMBER/COUNT/BYTES`. It leaves the ring when the stream has them all; the
/// importing bridge has them in its memory until all are there, and then puts the message into the ring. A message that the
/// ring there cannot have, and parts that do not follow each other, end the import; they stay in the stream. If the first
/// parts are gone, or a value was not finished when its channel was made anew, that is a gap. The stream must have room for
/// the whole message; one that is larger than all of the stream ends the export.
///
/// Of an spsc_ring or byte_ring there is one importing bridge (with one `durable`); a second one takes over, and the first
/// one fails. Any number of machines may import work: each item goes to one of them.
///
/// The NATS client's sockets are in the reactor of the executor's context, and its callbacks run there: no thread of the
/// client's takes part. One thread of the bridge's own connects, because the client blocks while it does; a context that is
/// destroyed meanwhile waits for it, for `connect_timeout` at most.
///
/// Thread safety: all members may be called from any thread. The handlers of events are called one at a time, by a thread
/// that runs the context.
class BELFRY_API nats_bridge {
 public:
  using executor_type = net::any_io_executor;

  /// Connects, in the background, and again when the connection is lost, without end.
  nats_bridge(const executor_type& executor, nats_options options = {});
  template <std::derived_from<net::execution_context> Context>
  explicit nats_bridge(Context& context, nats_options options = {})
      : nats_bridge(executor_type(context.get_executor()), std::move(options)) {}
  nats_bridge(nats_bridge&&) noexcept = default;
  nats_bridge& operator=(nats_bridge&& other) noexcept;
  /// As close().
  ~nats_bridge();

  executor_type get_executor() const noexcept { return executor_; }

  /// Before any export or import, so that none is missed. By default events are not reported.
  void on_event(std::function<void(const nats_event&)> handler);

  /// Throws std::system_error: `invalid_argument` for what cannot be a name of a channel, a subject (wildcards, empty
  /// tokens, spaces) or a stream; or if the channel is exported already, or imported from the same subject. All else is
  /// an event.
  void export_channel(const std::string& channel, const std::string& subject, nats_export_options options = {});
  void import_channel(const std::string& subject, const std::string& channel, nats_import_options options = {});

  /// Takes nothing more out of rings and streams, waits until what was taken is acknowledged, for at most `limit`, and
  /// ends. What is not acknowledged by then comes again after the next start.
  void stop(std::chrono::nanoseconds limit = std::chrono::seconds(10));
  /// Ends at once.
  void close() noexcept;

  /// Completes when the bridge has ended: after stop() or close(), or because every export and import has failed, or the
  /// server has refused the credentials: `permission_denied`. Signature: void(error_code). Cancellation: none; it holds
  /// nothing.
  template <class Token = net::default_completion_token_t<executor_type>>
  auto async_wait(Token&& token = Token()) {
    return net::async_initiate<Token, void(error_code)>(
        [b = bridge_](auto handler) {
          auto executor = net::get_associated_executor(handler, executor_of(b));
          auto work = net::make_work_guard(executor);
          auto kept = std::make_shared<decltype(handler)>(std::move(handler));
          when_ended(b, [kept, executor, work = std::move(work)](error_code ec) {
            net::post(executor, [kept, ec] { std::move (*kept)(ec); });
          });
        },
        token);
  }

  /// Of each export and import.
  std::vector<nats_statistics> statistics() const;

 private:
  static executor_type executor_of(const std::shared_ptr<detail::nats::bridge>& b);
  static void when_ended(const std::shared_ptr<detail::nats::bridge>& b, std::function<void(error_code)> handler);

  executor_type executor_;
  std::shared_ptr<detail::nats::bridge> bridge_;
};

}  // namespace BELFRY_ASIO_FLAVOUR
}  // namespace belfry
