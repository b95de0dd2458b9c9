#include "bridge.hpp"

#include <belfry/nats_bridge.hpp>

namespace belfry::inline BELFRY_ASIO_FLAVOUR {

nats_bridge::nats_bridge(const executor_type& executor, nats_options options)
    : executor_(executor), bridge_(std::make_shared<detail::nats::bridge>(executor, std::move(options))) {
  bridge_->start();
}

nats_bridge& nats_bridge::operator=(nats_bridge&& other) noexcept {
  if (this != &other) {
    close();
    executor_ = other.executor_;
    bridge_ = std::move(other.bridge_);
  }
  return *this;
}

nats_bridge::~nats_bridge() { close(); }

namespace {

/// A moved-from bridge behaves as a closed one.
detail::nats::bridge& open_one(const std::shared_ptr<detail::nats::bridge>& b) {
  if (!b) throw std::system_error(make_error_code(errc::closed));
  return *b;
}

}  // namespace

void nats_bridge::on_event(std::function<void(const nats_event&)> handler) {
  open_one(bridge_).on_event(std::move(handler));
}

void nats_bridge::export_channel(const std::string& channel, const std::string& subject, nats_export_options options) {
  open_one(bridge_).add(channel, subject, std::move(options));
}

void nats_bridge::import_channel(const std::string& subject, const std::string& channel, nats_import_options options) {
  open_one(bridge_).add(subject, channel, std::move(options));
}

void nats_bridge::stop(std::chrono::nanoseconds limit) {
  if (bridge_) bridge_->stop(limit);
}

void nats_bridge::close() noexcept {
  if (bridge_) bridge_->close();
}

std::vector<nats_statistics> nats_bridge::statistics() const {
  return bridge_ ? bridge_->statistics() : std::vector<nats_statistics>();
}

nats_bridge::executor_type nats_bridge::executor_of(const std::shared_ptr<detail::nats::bridge>& b) {
  return open_one(b).executor();
}

void nats_bridge::when_ended(const std::shared_ptr<detail::nats::bridge>& b, std::function<void(error_code)> handler) {
  b->when_ended(std::move(handler));
}

}  // namespace belfry::inline BELFRY_ASIO_FLAVOUR
