#include "connection.hpp"

#include "socket_adapter.hpp"

#include <algorithm>
#include <cerrno>
#include <cstdlib>
#include <fstream>
#include <random>
#include <system_error>
#include <utility>

namespace belfry::detail::nats {
namespace {

std::string random_name() {
  std::random_device entropy;
  constexpr std::string_view digits = "0123456789abcdefghijklmnopqrstuvwxyz";
  std::string name;
  for (int i = 0; i != 20; ++i) name += digits[entropy() % digits.size()];
  return name;
}

struct refused_option : std::runtime_error {
  using std::runtime_error::runtime_error;
};

void check(natsStatus s, const std::string& what) {
  if (s == NATS_OK) return;
  natsStatus ignored = NATS_OK;
  const char* const last = nats_GetLastError(&ignored);
  throw refused_option(what + ": " + (last != nullptr && *last != '\0' ? last : natsStatus_GetText(s)));
}

/// A file with a user's seed: as it is, or in credentials. The client would not say which file is wrong.
void check_seed(const std::string& path) {
  std::ifstream in(path);
  if (!in) throw refused_option(path + ": " + std::generic_category().message(errno));
  for (std::string line; std::getline(in, line);) {
    line.erase(line.find_last_not_of(" \t\r") + 1);
    if (!line.starts_with("SU")) continue;
    unsigned char* signature = nullptr;
    int size = 0;
    const natsStatus s = nats_Sign(line.c_str(), "nonce", &signature, &size);
    std::free(signature);
    return check(s, path);
  }
  throw refused_option(path + ": there is no seed of a user in it");
}

bool uses_tls(const nats_options& o) {
  return o.tls || !o.tls_ca.empty() || !o.tls_certificate.empty() ||
         std::ranges::any_of(o.servers, [](const std::string& s) { return s.starts_with("tls://"); });
}

options_ptr client_options(const nats_options& o, const std::vector<std::string>& servers) {
  natsOptions* raw = nullptr;
  check(natsOptions_Create(&raw), "options");
  options_ptr made(raw);
  std::vector<const char*> list;
  for (const std::string& server : servers) list.push_back(server.c_str());
  check(natsOptions_SetServers(raw, list.data(), static_cast<int>(list.size())), "server");
  check(natsOptions_SetName(raw, o.client_name.c_str()), "name");
  check(natsOptions_SetTimeout(raw, std::max<std::int64_t>(o.connect_timeout.count(), 1)), "connect timeout");
  check(natsOptions_SetPingInterval(raw, std::max<std::int64_t>(o.ping_interval.count(), 1)), "ping interval");
  check(natsOptions_SetMaxPingsOut(raw, 2), "pings");
  check(natsOptions_SetIOBufSize(raw, 64 << 10), "buffer");
  check(natsOptions_SetAllowReconnect(raw, false), "reconnect");  // see above: the bridge does
  check(natsOptions_SetSendAsap(raw, true), "send at once");      // in the event loop, without a thread
  if (!o.user.empty()) check(natsOptions_SetUserInfo(raw, o.user.c_str(), o.password.c_str()), "user");
  if (!o.token.empty()) check(natsOptions_SetToken(raw, o.token.c_str()), "token");
  if (!o.credentials.empty()) check_seed(o.credentials);
  if (!o.nkey.empty()) check_seed(o.nkey_seed);
  if (!o.credentials.empty())
    check(natsOptions_SetUserCredentialsFromFiles(raw, o.credentials.c_str(), nullptr), "credentials");
  if (!o.nkey.empty()) check(natsOptions_SetNKeyFromSeed(raw, o.nkey.c_str(), o.nkey_seed.c_str()), "NKey");
  if (o.tls) check(natsOptions_SetSecure(raw, true), "TLS");
  if (!o.tls_ca.empty()) check(natsOptions_LoadCATrustedCertificates(raw, o.tls_ca.c_str()), "TLS: " + o.tls_ca);
  if (!o.tls_certificate.empty())
    check(natsOptions_LoadCertificatesChain(raw, o.tls_certificate.c_str(), o.tls_key.c_str()),
          "TLS: " + o.tls_certificate);
  if (!o.tls_host.empty()) check(natsOptions_SetExpectedHostname(raw, o.tls_host.c_str()), "TLS: host");
  return made;
}

}  // namespace

// ---- inboxes

connection::inbox::~inbox() {
  if (owner_ != nullptr) {
    std::erase(owner_->inboxes_, this);
    ++owner_->changes_;
  }
  natsSubscription_Destroy(subscription_);
}

bool connection::inbox::drain() {
  std::uint64_t queued = 0;
  if (natsSubscription_QueuedMsgs(subscription_, &queued) != NATS_OK || queued == 0) return false;
  connection& owner = *owner_;
  const std::uint64_t changes = owner.changes_;
  do {
    natsMsg* next = nullptr;
    const natsStatus s = natsSubscription_NextMsg(&next, subscription_, 0);
    if (s != NATS_OK && s != NATS_NO_RESPONDERS) break;
    handler_(message_ptr(next));
  } while (owner.changes_ == changes && --queued != 0);  // this inbox may be gone
  return true;
}

std::unique_ptr<connection::inbox> connection::subscribe(const std::string& subject, inbox::handler handler,
                                                         const char* queue) {
  std::unique_ptr<inbox> made(new inbox(*this, std::move(handler)));
  const natsStatus s = queue == nullptr
                           ? natsConnection_SubscribeSync(&made->subscription_, nc_, subject.c_str())
                           : natsConnection_QueueSubscribeSync(&made->subscription_, nc_, subject.c_str(), queue);
  if (s == NATS_OK)
    natsSubscription_SetPendingLimits(made->subscription_, -1, -1);  // they are limited where they are asked for
  inboxes_.push_back(made.get());
  ++changes_;
  return made;
}

/// Handlers may add and remove inboxes.
void connection::drain_inboxes() {
  const auto self = shared_from_this();
  for (std::size_t i = 0; i != inboxes_.size();) {
    const std::uint64_t changes = changes_;
    inboxes_[i]->drain();
    i = changes_ == changes ? i + 1 : 0;
  }
}

// ---- beginning and end

connection::connection(executor_type strand, std::shared_ptr<blocking_calls> blocking)
    : executor_(std::move(strand)), blocking_(std::move(blocking)), prefix_("_INBOX." + random_name() + '.'), lost_signal_(executor_) {}

connection::~connection() {
  for (inbox* const i : inboxes_) i->owner_ = nullptr;
  if (adapter_) adapter_->stop();
  // The client may wait for its flusher, or for the answer to a last ping.
  if (nc_ != nullptr) blocking_->run([nc = nc_] { natsConnection_Destroy(nc); });
}

net::awaitable<connection::outcome> connection::connect(executor_type executor, std::shared_ptr<blocking_calls> blocking,
                                                        nats_options options, std::vector<std::string> servers) {
  outcome result;
  options_ptr given;
  try {
    given = client_options(options, servers);
  } catch (const refused_option& e) {
    result.status = NATS_INVALID_ARG;
    result.text = e.what();
    co_return result;
  }
  const std::shared_ptr<connection> made(new connection(executor, blocking));
  made->adapter_ = std::make_shared<socket_adapter>(*executor.target<socket_adapter::strand>());
  made->adapter_->install(*given);
  made->adapter_->closed = [c = std::weak_ptr<connection>(made)] {
    if (const auto alive = c.lock()) alive->set_lost({});
  };
  made->adapter_->refused = [c = std::weak_ptr<connection>(made)](natsStatus s, const std::string& text) {
    if (const auto alive = c.lock()) alive->refused(s, text);
  };
  made->adapter_->after_reading = [c = std::weak_ptr<connection>(made)] {
    if (const auto alive = c.lock()) alive->drain_inboxes();
  };
  const auto call = [&]() -> net::awaitable<void> {
    result.status = natsConnection_Connect(&made->nc_, given.get());
    if (result.status == NATS_OK) co_return;
    natsStatus ignored = NATS_OK;
    const char* const last = nats_GetLastError(&ignored);
    result.text = last != nullptr && *last != '\0' ? last : natsStatus_GetText(result.status);
  };
  co_await net::co_spawn(blocking->thread(), call(), net::use_awaitable);
  if (result.status != NATS_OK) {
    made->adapter_->uninstall();
    // With TLS 1.3 the client learns that its certificate was refused when it is connected already.
    const bool ended = result.status == NATS_PROTOCOL_ERROR || result.status == NATS_IO_ERROR ||
                       result.status == NATS_CONNECTION_CLOSED;  // by the version of the client
    if (uses_tls(options) && ended)
      result.text = "the server has ended the connection before it let the bridge in; does it want another certificate?";
    co_return result;
  }
  made->connected_ = true;
  result.made = made;
  co_return result;
}

net::awaitable<void> connection::lost() {
  while (!lost_) co_await lost_signal_.wait();
}

void connection::close(std::string reason) { set_lost(std::move(reason)); }

void connection::set_lost(std::string reason) {
  if (std::exchange(lost_, true)) return;
  if (reason.empty() && connected_) {
    const char* text = nullptr;
    if (natsConnection_GetLastError(nc_, &text) != NATS_OK && text != nullptr) reason = text;
  }
  reason_ = reason.empty() ? "connection closed" : std::move(reason);
  for (const auto& w : std::exchange(waiters_, {})) {
    w->over = true;
    w->done.notify();
  }
  lost_signal_.notify();
}

void connection::refused(natsStatus status, const std::string& text) {
  if (on_error_) on_error_(status, text);
}

// ---- facts

std::size_t connection::buffered() const noexcept {
  const int bytes = natsConnection_Buffered(nc_);
  return bytes < 0 ? 0 : static_cast<std::size_t>(bytes);
}

std::string connection::url() const {
  char text[512] = "";
  if (natsConnection_GetConnectedUrl(nc_, text, sizeof text) != NATS_OK) return {};
  std::string url = text;  // without the password
  const std::size_t begin = url.find("://");
  const std::size_t end = url.rfind('@');
  if (begin != std::string::npos && end != std::string::npos && end > begin) url.erase(begin + 3, end - begin - 2);
  return url;
}

std::vector<std::string> connection::discovered() const {
  char** list = nullptr;
  int count = 0;
  std::vector<std::string> all;
  if (natsConnection_GetDiscoveredServers(nc_, &list, &count) != NATS_OK) return all;
  for (int i = 0; i != count; ++i) {
    all.emplace_back(list[i]);
    std::free(list[i]);
  }
  std::free(list);
  return all;
}

// ---- requests

net::awaitable<connection::reply> connection::request(std::string subject, std::string data,
                                                      std::chrono::nanoseconds timeout,
                                                      std::chrono::nanoseconds again, bool (*is_answer)(natsMsg*)) {
  const auto self = shared_from_this();
  if (lost_) co_return reply{};
  // An inbox of its own: the answer that a subject has no listener tells nothing but the inbox.
  const auto w = std::make_shared<waiter>(executor_);
  const std::string inbox_name = prefix_ + "r." + std::to_string(++last_request_);
  const auto answer_inbox = subscribe(inbox_name, [w, is_answer](message_ptr m) {
    if (w->over || (m && is_answer != nullptr && !is_answer(m.get()))) return;
    w->over = true;
    w->result.how = m ? answer::came : answer::no_responders;
    w->result.message = std::move(m);
    w->done.notify();
  });
  waiters_.insert(w);
  const auto end = std::chrono::steady_clock::now() + timeout;
  for (auto left = timeout; !w->over && left.count() > 0; left = end - std::chrono::steady_clock::now()) {
    if (publish_request(subject.c_str(), inbox_name.c_str(), data) != NATS_OK) {
      w->over = true;  // lost
      break;
    }
    co_await w->done.wait_for(std::min(left, again));
  }
  waiters_.erase(w);
  if (!w->over) co_return reply{answer::timed_out, nullptr};
  co_return std::move(w->result);
}

connection::api_reply connection::parse_reply(std::string_view text) {
  api_reply r;
  r.body = nlohmann::json::parse(text, nullptr, false);
  if (!r.body.is_object()) {
    r.code = 500;
    r.text = "the answer of the server is not JSON";
    return r;
  }
  const auto error = r.body.find("error");
  if (error == r.body.end() || !error->is_object()) return r;
  const auto number = [&](const char* key, int missing) {
    const auto found = error->find(key);
    return found != error->end() && found->is_number_integer() ? found->get<int>() : missing;
  };
  r.code = number("code", 500);
  r.error = number("err_code", 0);
  const auto text_of = error->find("description");
  r.text = text_of != error->end() && text_of->is_string() ? text_of->get<std::string>() : "error " + std::to_string(r.code);
  return r;
}

net::awaitable<connection::reply> connection::api_request(std::string subject, std::string data) {
  co_return co_await request("$JS.API." + subject, std::move(data), std::chrono::seconds(5), std::chrono::seconds(1));
}

connection::api_reply connection::not_answered(answer how, const std::string& subject) {
  api_reply r;
  r.code = how == answer::timed_out ? 408 : 503;
  r.text = how == answer::timed_out       ? "no answer from JetStream at $JS.API." + subject + " (no permission, or the server is busy)"
           : how == answer::no_responders ? "JetStream is not there"
                                          : "the connection is lost";
  return r;
}

net::awaitable<connection::api_reply> connection::api(std::string subject, nlohmann::json body) {
  // Named: GCC 12 destroys temporaries of an expression with co_await and ?: twice.
  std::string text;
  if (!body.is_null()) text = body.dump();
  reply r = co_await api_request(subject, std::move(text));
  if (r.how != answer::came) co_return not_answered(r.how, subject);
  co_return parse_reply(data_of(r.message.get()));
}

}  // namespace belfry::detail::nats
