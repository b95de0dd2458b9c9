// iceoryx: a topic in each direction, untyped, with loans; a WaitSet for a process that finds nothing.
#pragma once

#include "../harness/memory.hpp"
#include "../harness/transport.hpp"
#include "roudi.hpp"

#include <iceoryx_hoofs/log/logmanager.hpp>
#include <iceoryx_posh/internal/runtime/posh_runtime_impl.hpp>
#include <iceoryx_posh/popo/untyped_publisher.hpp>
#include <iceoryx_posh/popo/untyped_subscriber.hpp>
#include <iceoryx_posh/popo/wait_set.hpp>

#include <algorithm>
#include <chrono>
#include <cstddef>
#include <cstdint>
#include <cstring>
#include <filesystem>
#include <new>
#include <optional>
#include <stdexcept>
#include <string>
#include <system_error>

#include <unistd.h>

namespace belfry::bench {

/// A process's registration with the daemon. iceoryx's own ends in `exit`, which our processes do not reach;
/// and the daemon complains about processes that disappear without unregistering.
class iceoryx_session final : public iox::runtime::PoshRuntimeImpl {
 public:
  explicit iceoryx_session(const std::string& name) : iceoryx_session(to_runtime_name(name)) {}

  /// Usually there are none: only a killed process leaves them.
  static void remove_files(const std::string& name) {
    std::error_code ignored;
    std::filesystem::remove("/tmp/" + name, ignored);
    std::filesystem::remove("/tmp/" + name + ".lock", ignored);
  }

 private:
  using name_type = iox::RuntimeName_t;
  using optional_name = iox::cxx::optional<const name_type*>;

  explicit iceoryx_session(const name_type& name) : PoshRuntimeImpl(optional_name(&name)) {
    current_ = this;
    setRuntimeFactory([](optional_name) -> PoshRuntime& { return *current_; });
  }
  static name_type to_runtime_name(const std::string& name) {
    using iox::log::LogLevel;
    iox::log::LogManager::GetLogManager().SetDefaultLogLevel(
        LogLevel::kError, iox::log::LogLevelOutput::kHideLogLevel);
    return name_type(iox::cxx::TruncateToCapacity, name.c_str());
  }

  static inline iceoryx_session* current_ = nullptr;
};

class iceoryx {
 public:
  iceoryx(std::size_t bytes, traffic ways)
      : name_(unique_name("iceoryx")), bytes_(bytes), ways_(ways) {
    roudi::need();
  }
  ~iceoryx() {
    for (const side s : {side::lead, side::follow}) iceoryx_session::remove_files(session_of(s));
  }
  iceoryx(const iceoryx&) = delete;
  iceoryx& operator=(const iceoryx&) = delete;

  class endpoint {
   public:
    endpoint(const iceoryx& topics, side s) : session_(topics.session_of(s)) {
      const bool lead = s == side::lead;
      if (lead || topics.ways_ == traffic::both_ways) subscribe(topics, lead ? "back" : "there");
      if (!lead || topics.ways_ == traffic::both_ways) publish(topics, lead ? "there" : "back");
    }

    void send(const void* from, std::size_t bytes) {
      void* const to = loan(bytes);
      std::memcpy(to, from, bytes);
      send(to);
    }
    void receive(void* to, std::size_t bytes) {
      const void* const from = receive();
      std::memcpy(to, from, bytes);
      release(from);
    }

    /// Without a copy: send what was loaned, release what was received.
    void* loan(std::size_t bytes) {
      void* result = nullptr;
      const bool lent = !publisher_->loan(static_cast<std::uint32_t>(bytes))
                             .and_then([&](void*& to) { result = to; })
                             .has_error();
      if (!lent) throw std::runtime_error("no memory of this size is left");
      return result;
    }
    void send(void* loan) { publisher_->publish(loan); }
    const void* receive() {
      const void* result = nullptr;
      while (subscriber_->take().and_then([&](const void*& from) { result = from; }).has_error()) {
        wait_set_->wait();
      }
      return result;
    }
    void release(const void* received) { subscriber_->release(received); }

   private:
    static iox::capro::ServiceDescription service(const iceoryx& topics, const char* way) {
      using text = iox::capro::IdString_t;
      return {text("belfry-bench"), text(iox::cxx::TruncateToCapacity, topics.name_.c_str()),
              text(iox::cxx::TruncateToCapacity, way)};
    }

    void subscribe(const iceoryx& topics, const char* way) {
      iox::popo::SubscriberOptions options;
      // 256 is its maximum; for large messages the daemon has memory for half as many as a ring.
      options.queueCapacity = std::clamp<std::uint64_t>(depth(topics.bytes_) / 2, 4, 256);
      options.queueFullPolicy = iox::popo::QueueFullPolicy::BLOCK_PRODUCER;
      subscriber_.emplace(service(topics, way), options);
      wait_set_.emplace();
      const bool attached =
          !wait_set_->attachState(*subscriber_, iox::popo::SubscriberState::HAS_DATA).has_error();
      if (!attached) throw std::runtime_error("nothing to wait with");
    }
    /// Also waits for the subscriber, because what is sent before is lost.
    void publish(const iceoryx& topics, const char* way) {
      iox::popo::PublisherOptions options;
      options.subscriberTooSlowPolicy = iox::popo::ConsumerTooSlowPolicy::WAIT_FOR_CONSUMER;
      publisher_.emplace(service(topics, way), options);
      while (!publisher_->hasSubscribers()) ::usleep(100);
    }

    iceoryx_session session_;
    std::optional<iox::popo::UntypedSubscriber> subscriber_;
    std::optional<iox::popo::UntypedPublisher> publisher_;
    std::optional<iox::popo::WaitSet<>> wait_set_;  // destroyed before what is attached to it
  };

 private:
  std::string session_of(side s) const { return name_ + (s == side::lead ? "-lead" : "-follow"); }

  std::string name_;
  std::size_t bytes_;
  traffic ways_;
};

/// Messages written and read in place.
template <std::size_t Bytes>
class iceoryx_loans final : public contender {
 public:
  figure lead(std::uint64_t n) override {
    iceoryx::endpoint end(topics_, side::lead);
    rate_timer timer(n);
    for (std::uint64_t i = 0; i != n;) {
      const void* const m = end.receive();
      check(*static_cast<const message<Bytes>*>(m), i);
      end.release(m);
      timer.arrived(++i);
    }
    const figure result = timer.per_second(n);
    arrived_.say();
    return result;
  }

  void follow(std::uint64_t n) override {
    iceoryx::endpoint end(topics_, side::follow);
    for (std::uint64_t i = 0; i != n; ++i) {
      auto* const m = new (end.loan(Bytes)) message<Bytes>;
      m->number(i);
      end.send(m);
    }
    arrived_.await();
  }

 private:
  iceoryx topics_{Bytes, traffic::one_way};
  arrival arrived_;
};

/// One topic, several subscribers; loans on both sides. A publisher waits for a slow subscriber.
class iceoryx_topic {
 public:
  /// `queued`: how many messages a subscriber has at most.
  iceoryx_topic(std::size_t bytes, std::size_t queued, std::size_t subscribers)
      : bytes_(bytes), queued_(queued), subscribers_(subscribers) {
    roudi::need();
  }
  ~iceoryx_topic() {
    for (std::size_t i = 0; i != subscribers_ + 1; ++i) iceoryx_session::remove_files(session(i));
  }
  iceoryx_topic(const iceoryx_topic&) = delete;
  iceoryx_topic& operator=(const iceoryx_topic&) = delete;

  class publisher {
   public:
    explicit publisher(const iceoryx_topic& t)
        : session_(t.session(t.subscribers_)), bytes_(t.bytes_), publisher_(service(t), options()) {}

    /// Null if no memory of this size is left now.
    void* loan() {
      void* result = nullptr;
      publisher_.loan(static_cast<std::uint32_t>(bytes_)).and_then([&](void*& to) { result = to; });
      return result;
    }
    void send(void* loan) { publisher_.publish(loan); }

   private:
    static iox::popo::PublisherOptions options() {
      iox::popo::PublisherOptions o;
      o.subscriberTooSlowPolicy = iox::popo::ConsumerTooSlowPolicy::WAIT_FOR_CONSUMER;
      return o;
    }
    iceoryx_session session_;
    std::size_t bytes_;
    iox::popo::UntypedPublisher publisher_;
  };

  class subscriber {
   public:
    subscriber(const iceoryx_topic& t, std::size_t i)
        : session_(t.session(i)), subscriber_(service(t), options(t.queued_)) {
      if (wait_set_.attachState(subscriber_, iox::popo::SubscriberState::HAS_DATA).has_error())
        throw std::runtime_error("nothing to wait with");
    }
    /// Null if there is none for this time.
    const void* receive(std::chrono::milliseconds time) {
      const void* result = nullptr;
      const auto take = [&] { return !subscriber_.take().and_then([&](const void*& from) { result = from; }).has_error(); };
      if (take()) return result;
      wait_set_.timedWait(iox::units::Duration::fromMilliseconds(time.count()));
      return take() ? result : nullptr;
    }
    void release(const void* received) { subscriber_.release(received); }

   private:
    static iox::popo::SubscriberOptions options(std::size_t queued) {
      iox::popo::SubscriberOptions o;
      o.queueCapacity = std::clamp<std::uint64_t>(queued, 4, 256);
      o.queueFullPolicy = iox::popo::QueueFullPolicy::BLOCK_PRODUCER;
      return o;
    }
    iceoryx_session session_;
    iox::popo::UntypedSubscriber subscriber_;
    iox::popo::WaitSet<> wait_set_;
  };

 private:
  static iox::capro::ServiceDescription service(const iceoryx_topic& t) {
    using text = iox::capro::IdString_t;
    return {text("belfry-bench"), text(iox::cxx::TruncateToCapacity, t.name_.c_str()), text("topic")};
  }
  std::string session(std::size_t member) const { return name_ + '-' + std::to_string(member); }

  std::string name_ = unique_name("topic");
  std::size_t bytes_;
  std::size_t queued_;
  std::size_t subscribers_;
};

}  // namespace belfry::bench
