// The C client of NATS, without the bridge: messages are published asynchronously into a stream of JetStream, and come
// from a pull consumer, which acknowledges each.
#pragma once

#include "../harness/contender.hpp"
#include "../harness/cpus.hpp"
#include "../harness/memory.hpp"
#include "../harness/messages.hpp"
#include "../harness/timer.hpp"
#include "nats_server.hpp"

#include <algorithm>
#include <atomic>
#include <cstddef>
#include <cstdint>
#include <cstring>
#include <memory>
#include <stdexcept>
#include <string>

#include <nats/nats.h>

namespace belfry::bench {

/// A connection, and its stream: in files, a work queue, with the usual window of two minutes in which a message that
/// comes with the same id is a duplicate.
class nats_client {
 public:
  explicit nats_client(const std::string& stream) : stream_(stream) {
    succeed(natsConnection_ConnectTo(&connection_, nats_server::need().c_str()));
    jsOptions o;
    succeed(jsOptions_Init(&o));
    o.PublishAsync.MaxPending = 4096;  // as an export of the bridge
    o.PublishAsync.StallWait = 60'000;
    o.PublishAsync.ErrHandler = [](jsCtx*, jsPubAckErr*, void* self) { static_cast<nats_client*>(self)->refused_ = true; };
    o.PublishAsync.ErrHandlerClosure = this;
    succeed(natsConnection_JetStream(&js_, connection_, &o));
    jsStreamConfig c;
    succeed(jsStreamConfig_Init(&c));
    const char* const subjects[] = {stream_.c_str()};
    c.Name = stream_.c_str();
    c.Subjects = const_cast<const char**>(subjects);
    c.SubjectsLen = 1;
    c.Retention = js_WorkQueuePolicy;
    c.Storage = js_FileStorage;
    succeed(js_AddStream(nullptr, js_, &c, nullptr, nullptr));
  }
  ~nats_client() {
    natsSubscription_Destroy(subscription_);
    jsCtx_Destroy(js_);
    natsConnection_Destroy(connection_);
  }
  nats_client(const nats_client&) = delete;
  nats_client& operator=(const nats_client&) = delete;

  /// Waits while too many are unacknowledged. `id`: may be null.
  void publish(const void* data, std::size_t bytes, const char* id) {
    jsPubOptions o;
    succeed(jsPubOptions_Init(&o));
    o.MsgId = id;
    succeed(js_PublishAsync(js_, stream_.c_str(), data, static_cast<int>(bytes), &o));
  }
  void complete() {
    jsPubOptions o;
    succeed(jsPubOptions_Init(&o));
    o.MaxWait = 60'000;
    succeed(js_PublishAsyncComplete(js_, &o));
    if (refused_) throw std::runtime_error("the server has refused a message");
  }

  void subscribe() {
    jsSubOptions o;
    succeed(jsSubOptions_Init(&o));
    o.Config.MaxAckPending = 1 << 20;  // the client does not know -1
    succeed(js_PullSubscribe(&subscription_, js_, stream_.c_str(), "bench", nullptr, &o, nullptr));
  }
  /// Waits for so many messages, and calls `seen(data, bytes)` for each.
  template <class Seen>
  void fetch(std::uint64_t count, Seen seen) {
    natsMsgList list{};
    const natsStatus s = natsSubscription_Fetch(&list, subscription_, static_cast<int>(count), 1000, nullptr);
    if (s == NATS_TIMEOUT) return;  // none; then there is nothing to free
    succeed(s);
    const std::unique_ptr<natsMsgList, void (*)(natsMsgList*)> at_the_end(&list, natsMsgList_Destroy);
    for (int i = 0; i != list.Count; ++i) {
      seen(natsMsg_GetData(list.Msgs[i]), static_cast<std::size_t>(natsMsg_GetDataLength(list.Msgs[i])));
      succeed(natsMsg_Ack(list.Msgs[i], nullptr));
    }
  }
  /// What was acknowledged has arrived.
  void flush() { succeed(natsConnection_Flush(connection_)); }
  void remove_stream() { js_DeleteStream(js_, stream_.c_str(), nullptr, nullptr); }

 private:
  static void succeed(natsStatus s) {
    if (s != NATS_OK) throw std::runtime_error(std::string("NATS: ") + natsStatus_GetText(s));
  }

  const std::string stream_;
  natsConnection* connection_ = nullptr;
  jsCtx* js_ = nullptr;
  natsSubscription* subscription_ = nullptr;
  std::atomic<bool> refused_{false};
};

template <std::size_t Bytes>
class nats_client_stream final : public contender {
 public:
  enum class ids { with, without };
  explicit nats_client_stream(ids how) : stream_(unique_name("client")), how_(how) { nats_server::need(); }

  figure lead(std::uint64_t n) override {
    cpus_.allow();
    nats_client client(stream_);
    client.subscribe();
    rate_timer timer(n);
    for (std::uint64_t i = 0; i != n;) {
      client.fetch(std::min<std::uint64_t>(batch, n - i), [&](const void* data, std::size_t bytes) {
        message<Bytes> m;
        if (bytes != sizeof m) throw std::runtime_error("a message of another size");
        std::memcpy(&m, data, sizeof m);
        check(m, i);
        timer.arrived(++i);
      });
    }
    client.flush();
    const figure f = timer.per_second(n);
    client.remove_stream();
    return f;
  }

  void follow(std::uint64_t n) override {
    cpus_.allow();
    nats_client client(stream_);
    message<Bytes> m{};
    for (std::uint64_t i = 0; i != n; ++i) {
      m.number(i);
      client.publish(&m, sizeof m, how_ == ids::with ? ("0123456789abcdef-" + std::to_string(i)).c_str() : nullptr);
    }
    client.complete();
  }

 private:
  static constexpr std::uint64_t batch = 1024;  // as an import of the bridge
  const std::string stream_;
  const ids how_;
  const all_cpus cpus_;
};

}  // namespace belfry::bench
