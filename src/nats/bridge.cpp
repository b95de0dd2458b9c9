#include "bridge.hpp"

#include "export_link.hpp"
#include "import_link.hpp"

#include <algorithm>
#include <utility>

namespace belfry::detail::nats {
namespace {

[[noreturn]] void refuse(const std::string& what) {
  throw std::system_error(std::make_error_code(std::errc::invalid_argument), what);
}

void check_subject(const std::string& subject) {
  bool good = !subject.empty() && subject.size() <= 200 && subject.front() != '.' && subject.back() != '.' &&
              subject.front() != '$' && subject.find("..") == std::string::npos;
  for (const char c : subject)
    good = good && c > ' ' && c < 0x7f && c != '*' && c != '>' && c != '"' && c != '\\';
  if (!good) refuse("\"" + subject + "\" cannot be the subject of a channel: tokens of visible ASCII characters, with dots between");
}

void check_name(const std::string& name, const char* what) {
  if (name.empty() || name.find_first_of("/ .*>\"\\") != std::string::npos || name.size() > 200)
    refuse("\"" + name + "\" cannot be the name of a " + what);
}

void check_channel(const std::string& name) {
  if (name.empty() || name.size() > 240 || name.find('/') != std::string::npos || name.find('\0') != std::string::npos)
    refuse("\"" + name + "\" cannot be the name of a channel");
}

/// As far as can be seen, waiting would not change it.
bool is_wrong(natsStatus s) { return s == NATS_CONNECTION_AUTH_FAILED || s == NATS_INVALID_ARG; }
/// Time may change it, such as the time from which on a certificate is valid.
bool is_refusal(natsStatus s) {
  return is_wrong(s) || s == NATS_SSL_ERROR || s == NATS_SECURE_CONNECTION_WANTED || s == NATS_SECURE_CONNECTION_REQUIRED;
}

}  // namespace

bridge::bridge(net::any_io_executor executor, nats_options options)
    : executor_(executor), options_(std::move(options)), strand_(net::make_strand(executor)), wake_(strand_), limit_(strand_) {}

bridge::~bridge() = default;

void bridge::start() {
  net::co_spawn(
      strand_,
      [](std::shared_ptr<bridge> self) -> net::awaitable<void> { co_await self->run(); }(shared_from_this()),
      net::detached);
}

void bridge::on_event(std::function<void(const nats_event&)> handler) {
  const std::lock_guard lock(mutex_);
  on_event_ = std::move(handler);
}

void bridge::tell(const nats_event& e) {
  std::function<void(const nats_event&)> handler;
  {
    const std::lock_guard lock(mutex_);
    handler = on_event_;
  }
  if (handler) handler(e);
}

void bridge::add(const std::string& channel, const std::string& subject, nats_export_options options) {
  check_channel(channel);
  check_subject(subject);
  if (options.stream.empty()) {
    options.stream = subject;
    std::ranges::replace(options.stream, '.', '-');
  }
  check_name(options.stream, "stream");
  add(std::make_shared<export_link>(*this, channel, subject, std::move(options)));
}

void bridge::add(const std::string& subject, const std::string& channel, nats_import_options options) {
  check_channel(channel);
  check_subject(subject);
  if (options.durable.empty()) options.durable = "belfry";
  check_name(options.durable, "consumer");
  add(std::make_shared<import_link>(*this, subject, channel, std::move(options)));
}

void bridge::add(std::shared_ptr<link> made) {
  {
    const std::lock_guard lock(mutex_);
    for (const auto& other : links_) {
      if (other->channel() != made->channel() || other->is_over()) continue;
      if (other->exports() && made->exports()) refuse('"' + made->channel() + "\" is exported already");
      if (!other->exports() && !made->exports()) refuse('"' + made->channel() + "\" is imported already");
      if (other->subject() == made->subject())
        refuse('"' + made->channel() + "\" would be exported to the subject that it is imported from: a loop");
    }
    links_.push_back(made);
  }
  net::post(strand_, [self = shared_from_this(), made] {
    if (self->closed_ || self->stopping_) return made->end(nats_event::kind::drained);
    made->begin();
    if (self->connection_) made->connected(self->connection_);
  });
}

std::vector<nats_statistics> bridge::statistics() const {
  std::vector<nats_statistics> all;
  const std::lock_guard lock(mutex_);
  for (const auto& l : links_) all.push_back(l->statistics());
  return all;
}

void bridge::stop(std::chrono::nanoseconds limit) {
  net::post(strand_, [self = shared_from_this(), limit] {
    if (std::exchange(self->stopping_, true)) return;
    std::vector<std::shared_ptr<link>> all;
    {
      const std::lock_guard lock(self->mutex_);
      all = self->links_;
    }
    for (const auto& l : all)
      if (!l->is_over()) l->stop();
    self->limit_.expires_after(std::chrono::duration_cast<net::steady_timer::duration>(limit));
    self->limit_.async_wait([self](const error_code& ec) {
      if (!ec) self->close_now();
    });
    if (all.empty()) self->close_now();
  });
}

/// Not at once: an event's handler may call this, amid what a link does.
void bridge::close() {
  net::post(strand_, [self = shared_from_this()] { self->close_now(); });
}

void bridge::close_now() {
  if (std::exchange(closed_, true)) return;
  std::vector<std::shared_ptr<link>> all;
  {
    const std::lock_guard lock(mutex_);
    all = links_;
  }
  for (const auto& l : all) l->end(nats_event::kind::drained, "closed");
  if (connection_) connection_->close("the bridge ends");
  limit_.cancel();
  wake_.notify();
}

void bridge::ended(link&) {
  std::size_t left = 0;
  bool all_failed = true;
  {
    const std::lock_guard lock(mutex_);
    for (const auto& l : links_) {
      left += !l->is_over();
      all_failed = all_failed && l->statistics().state == "failed";
    }
  }
  if (left != 0 || closed_) return;
  net::post(strand_, [self = shared_from_this(), all_failed] {
    if (all_failed && !self->stopping_) self->result_ = std::make_error_code(std::errc::io_error);
    self->close_now();
  });
}

void bridge::replace(link& old, std::shared_ptr<link> made) {
  if (old.is_over()) return;
  {
    const std::lock_guard lock(mutex_);
    for (auto& l : links_)
      if (l.get() == &old) l = made;
  }
  old.retire();
  made->begin();
  if (stopping_) return made->stop();
  if (connection_) made->connected(connection_);
}

const std::string& bridge::hops_into(const std::string& channel) const {
  static const std::string none;
  const auto found = hops_.find(channel);
  return found == hops_.end() ? none : found->second;
}

void bridge::when_ended(std::function<void(error_code)> handler) {
  {
    const std::lock_guard lock(mutex_);
    if (!over_) return waiting_.push_back(std::move(handler));
  }
  handler(result_);
}

void bridge::finish(error_code why) {
  std::vector<std::function<void(error_code)>> all;
  {
    const std::lock_guard lock(mutex_);
    over_ = true;
    if (why) result_ = why;
    all = std::move(waiting_);
  }
  for (const auto& handler : all) handler(result_);
}

/// The client forgets those that it has found when its connection is over.
std::vector<std::string> bridge::servers(const std::vector<std::string>& discovered) const {
  std::vector<std::string> all = options_.servers;
  std::string credentials;
  for (const std::string& server : all) {
    const std::size_t begin = server.find("://");
    const std::size_t end = server.find('@');
    if (begin != std::string::npos && end != std::string::npos && credentials.empty())
      credentials = server.substr(begin + 3, end - begin - 2);
  }
  for (std::string server : discovered) {
    if (const std::size_t begin = server.find("://"); begin != std::string::npos) server.insert(begin + 3, credentials);
    if (std::ranges::find(all, server) == all.end()) all.push_back(std::move(server));
  }
  return all;
}

net::awaitable<void> bridge::run() {
  const auto self = shared_from_this();
  std::vector<std::string> discovered;
  std::string told;
  error_code why;
  while (!closed_) {
    connection::outcome o = co_await connection::connect(strand_, blocking_, options_, servers(discovered));
    if (closed_) break;
    if (!o.made) {
      if (o.text != told) {
        told = o.text;
        std::string list;
        for (const std::string& server : options_.servers) {
          const std::size_t at = server.find('@');  // behind the password
          list += (list.empty() ? "" : ", ") + server.substr(at == std::string::npos ? 0 : at + 1);
        }
        tell({is_refusal(o.status) ? nats_event::kind::refused : nats_event::kind::disconnected, {}, {}, false, list + ": " + told});
      }
      // Later the server may be on its way to new credentials.
      if (is_wrong(o.status) && discovered.empty() && links_never_connected_) {
        why = std::make_error_code(std::errc::permission_denied);
        if (o.status == NATS_INVALID_ARG) why = std::make_error_code(std::errc::invalid_argument);
        break;
      }
      co_await wake_.wait_for(options_.reconnect_wait);
      continue;
    }
    told.clear();
    links_never_connected_ = false;
    connection_ = o.made;
    o.made->on_error([this](natsStatus, const std::string& text) {
      tell({nats_event::kind::refused, {}, {}, false, text});
    });
    tell({nats_event::kind::connected, {}, {}, false, o.made->url()});
    std::vector<std::shared_ptr<link>> all;
    {
      const std::lock_guard lock(mutex_);
      all = links_;
    }
    for (const auto& l : all) l->connected(o.made);
    co_await o.made->lost();
    for (std::string& server : o.made->discovered()) {
      if (std::ranges::find(discovered, server) == discovered.end()) discovered.push_back(std::move(server));
    }
    connection_.reset();
    {
      const std::lock_guard lock(mutex_);
      all = links_;
    }
    for (const auto& l : all) l->disconnected();
    if (closed_) break;
    tell({nats_event::kind::disconnected, {}, {}, false, o.made->reason()});
    o.made.reset();
    co_await wake_.wait_for(options_.reconnect_wait);
  }
  close_now();
  finish(why);
}

}  // namespace belfry::detail::nats
