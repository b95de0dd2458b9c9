// What an import says to the server, and hears from it, before the first message on a connection.
#include "bridge.hpp"
#include "call_import_link.hpp"
#include "description.hpp"
#include "import_link.hpp"
#include "jetstream.hpp"

#include <belfry/detail/segment/described_channel.hpp>

#include <algorithm>
#include <string_view>
#include <utility>

namespace belfry::detail::nats {

using namespace std::chrono_literals;

namespace {

constexpr std::string_view digits = "0123456789abcdef";

/// `DURABLE-` and a digit; or `DURABLE`, which bridges have made before they had the digit.
bool is_incarnation(std::string_view name, std::string_view durable) {
  if (!name.starts_with(durable)) return false;
  name.remove_prefix(durable.size());
  return name.empty() || (name.size() == 2 && name[0] == '-' && digits.find(name[1]) != std::string_view::npos);
}

}  // namespace

net::awaitable<void> import_link::session(std::shared_ptr<connection> c) {
  while (uses(c) && !stopping_) {
    const step s = co_await prepare(c);
    if (s == step::over || !uses(c) || stopping_) co_return;
    if (s == step::again) {
      co_await pause_.wait_for(500ms);
      continue;
    }
    ends_session_ = false;
    if (!is(state::running)) {
      set(state::running);
      tell(nats_event::kind::running,
           stream_.empty() ? "from the subject" : "from the stream \"" + stream_ + "\", consumer \"" + consumer_ + '"');
    }
    last_heard_ = clock::now();
    heard_ = false;
    ask_for_more();
    auto work_told = clock::now();
    auto looked = clock::now();
    while (uses(c) && !ends_session_ && !stopping_) {
      co_await tick_.wait_for(1s);
      const auto now = clock::now();
      if (!uses(c)) co_return;
      // In a cluster the first request can get lost, on its way to where the consumer was before.
      if (wanted_ != 0 && !heard_ && now - last_heard_ > heartbeat) {
        wanted_ = 0;
        ask_for_more();
      }
      if (wanted_ != 0 && now - last_heard_ > (heard_ ? longest_pause : longest_beginning)) {
        tell_waiting("the server has stopped to send");
        ends_session_ = true;
      }
      if (kind_ == ring_class::work && now - work_told > options_.ack_wait / 3) {
        still_working();
        work_told = now;
      }
      if (!consumer_request_.empty() && heard_ && now - last_heard_ < longest_pause && now - looked > look_at_replicas) {
        co_await spread_consumer(c);
        looked = clock::now();
      }
    }
    if (!uses(c)) co_return;
    messages_.reset();
    inbox_.clear();
    inbox_bytes_ = 0;
    wanted_ = 0;
  }
}

net::awaitable<import_link::step> import_link::prepare(std::shared_ptr<connection> c) {
  subject_description said;
  if (const step s = co_await learn(c, said); s != step::done) co_return s;
  if (class_of(said.ring) == ring_class::calls && !tx_) {
    owner_.replace(*this, std::make_shared<call_import_link>(owner_, subject_, channel_, options_));
    co_return step::over;
  }
  stream_ = said.stream;
  source_subject_ = said.subject;
  if (const step s = join(said.channel); s != step::done) co_return s;
  if (!stream_.empty()) co_return co_await prepare_consumer(c);
  consumer_.clear();
  messages_ = c->subscribe(source_subject_, [this, c](message_ptr m) {
    if (m) on_message(c, std::move(m));
  });
  co_return step::done;
}

/// Makes the channel if need be. An import joins once, and stays.
import_link::step import_link::join(const std::string& description) {
  failure f;
  make_channel(channel_, description, options_.mode, f);
  if (f) {
    if (f.code == errc::incompatible || f.code == std::errc::invalid_argument) {
      end(nats_event::kind::failed, f.what);
      return step::over;
    }
    tell_waiting(f.what + ": " + f.code.message());
    return step::again;
  }
  if (tx_) return step::done;
  try {
    channel_options o;
    o.mode = options_.mode;
    any_channel::producer tx(executor_, channel_, o);
    kind_ = class_of(tx.info().kind);
    bytes_ = tx.info().value_bytes == 0;
    if (kind_ == ring_class::unknown) {
      end(nats_event::kind::failed, "a " + tx.info().kind + " cannot be imported");
      return step::over;
    }
    set_ring(tx.info().kind);
    if (kind_ == ring_class::ordered) mark_.emplace(channel_, options_.mode);
    tx_.emplace(std::move(tx));
  } catch (const std::system_error& e) {
    if (e.code() == errc::incompatible) {
      end(nats_event::kind::failed, e.what());
      return step::over;
    }
    tell_waiting(e.what());
    return step::again;
  }
  return step::done;
}

/// A server that was away while the consumer was made may not have it when it is back: the snapshot of the metadata that it
/// gets does not add consumers to a stream that it has (seen with 2.9.10). Then the consumer would stop when one of the others is
/// lost. That it is asked for again, as it is, goes to all of them.
net::awaitable<void> import_link::spread_consumer(std::shared_ptr<connection> c) {
  const auto info = co_await c->api("CONSUMER.INFO." + stream_ + '.' + consumer_);
  if (!uses(c) || stopping_ || !info.ok()) co_return;
  const auto cluster = info.body.find("cluster");
  if (cluster == info.body.end() || !cluster->is_object()) co_return;
  const auto replicas = cluster->find("replicas");
  if (replicas == cluster->end() || !replicas->is_array()) co_return;
  for (const auto& r : *replicas) {
    if (!r.is_object() || r.value("current", true) || r.value("offline", false)) continue;
    co_await c->api_request("CONSUMER.DURABLE.CREATE." + stream_ + '.' + consumer_, consumer_request_);
    co_return;
  }
}

/// Those of this import, which were made on other connections, perhaps by another bridge.
net::awaitable<import_link::step> import_link::find_former_consumers(std::shared_ptr<connection> c,
                                                                     std::vector<std::string>& out) {
  for (std::size_t offset = 0, total = 1; offset < total;) {
    nlohmann::json wanted;
    wanted["offset"] = offset;
    const auto page = co_await c->api("CONSUMER.NAMES." + stream_, std::move(wanted));
    if (!uses(c) || stopping_) co_return step::over;
    if (const step s = answer_to(page, "consumers of the stream \"" + stream_ + '"'); s != step::done) co_return s;
    const auto names = page.body.find("consumers");
    if (names == page.body.end() || !names->is_array() || names->empty()) break;
    for (const auto& name : *names)
      if (name.is_string() && is_incarnation(name.get_ref<const std::string&>(), options_.durable)) out.push_back(name);
    offset += names->size();
    total = page.body.value("total", std::size_t{0});
  }
  co_return step::done;
}

/// The next of the 16 names that no former consumer has: a server that is away may still have those.
std::string import_link::next_consumer(const std::vector<std::string>& former) {
  std::string name;
  for (std::size_t i = 0; i != digits.size(); ++i) {
    name = options_.durable + '-' + digits[++incarnation_ % digits.size()];
    if (std::find(former.begin(), former.end(), name) == former.end()) break;
  }
  return name;
}

net::awaitable<import_link::step> import_link::prepare_consumer(std::shared_ptr<connection> c) {
  auto info = co_await c->api("STREAM.INFO." + stream_);
  if (!uses(c) || stopping_) co_return step::over;
  if (info.error == js_error::stream_not_found) {
    tell_waiting("there is no stream \"" + stream_ + '"');
    co_return step::again;
  }
  if (const step s = answer_to(info, "stream \"" + stream_ + '"'); s != step::done) co_return s;
  const nlohmann::json config = info.body.value("config", nlohmann::json::object());
  const bool work_queue = config.value("retention", std::string()) == "workqueue";
  const std::uint64_t source = hash_of(subject_ + ' ' + stream_ + ' ' + info.body.value("created", std::string()));
  std::uint64_t newest = 0;
  if (const auto now = info.body.find("state"); now != info.body.end() && now->is_object())
    newest = now->value("last_seq", std::uint64_t{0});
  last_sequence_ = source != source_ || kind_ == ring_class::latest ? 0 : std::min(last_sequence_, newest);
  source_ = source;

  nlohmann::json wanted{{"ack_policy", "explicit"},
                        {"deliver_policy", "all"},
                        {"replay_policy", "instant"},
                        {"filter_subject", source_subject_},
                        {"max_ack_pending", -1},
                        {"max_deliver", -1},
                        {"ack_wait", options_.ack_wait.count()}};
  const auto from = [&](std::uint64_t sequence) {
    wanted["deliver_policy"] = "by_start_sequence";
    wanted["opt_start_seq"] = sequence;
  };
  consumer_ = options_.durable;
  switch (kind_) {
    case ring_class::ordered: {
      std::vector<std::string> former;
      if (const step t = co_await find_former_consumers(c, former); t != step::done) co_return t;
      if (consumer_gone_ && !former.empty()) {
        end(nats_event::kind::failed, "another bridge imports " + subject_ + " as \"" + options_.durable + "\" now");
        co_return step::over;
      }
      // Another bridge that has removed it is about to make its own.
      if (consumer_gone_ && !std::exchange(waited_for_other_, true)) co_return step::again;
      received_mark m = mark_->get();
      m.sequence = m.source == source_ ? std::min(m.sequence, newest) : 0;
      m.source = source_;
      if (!knows_last_push_ && !is_local(m)) set_local(m);
      mark_->set(m);
      // While this waits for the server, a value that has come before may get into the ring, and be marked.
      for (const std::string& name : former) {
        if (!work_queue) {
          const auto before = co_await c->api("CONSUMER.INFO." + stream_ + '.' + name);
          if (!uses(c) || stopping_) co_return step::over;
          if (!before.ok() && before.error != js_error::consumer_not_found) co_return answer_to(before, "consumer");
          m = mark_->get();
          const auto floor = before.body.find("ack_floor");
          if (floor != before.body.end() && floor->is_object())
            m.sequence = std::max(m.sequence, floor->value("stream_seq", std::uint64_t{0}));
          mark_->set(m);  // the consumer that knows it is removed now
        }
        const auto removed = co_await c->api("CONSUMER.DELETE." + stream_ + '.' + name);
        if (!uses(c) || stopping_) co_return step::over;
        if (!removed.ok() && removed.error != js_error::consumer_not_found) co_return answer_to(removed, "consumer");
      }
      if (!work_queue && mark_->get().sequence != 0) from(mark_->get().sequence + 1);
      consumer_ = next_consumer(former);
      wanted["durable_name"] = consumer_;
      wanted["ack_wait"] = std::chrono::nanoseconds(12h).count();  // never again on this connection
      break;
    }
    case ring_class::work: {
      // A killed server may have forgotten that it has given something out, to whatever machine.
      const auto before = co_await c->api("CONSUMER.INFO." + stream_ + '.' + consumer_);
      if (!uses(c) || stopping_) co_return step::over;
      if (!before.ok() && before.error != js_error::consumer_not_found) co_return answer_to(before, "consumer");
      if (before.ok() || last_sequence_ != 0) uncertain_to_ = newest;
      wanted["durable_name"] = consumer_;
      break;
    }
    case ring_class::latest:
      wanted["deliver_policy"] = "last";
      break;
    case ring_class::broadcast:
      if (last_sequence_ != 0) {
        from(last_sequence_ + 1);
      } else if (!options_.oldest) {
        wanted["deliver_policy"] = "new";
      }
      break;
    case ring_class::calls:
    case ring_class::unknown: break;
  }
  connection::api_reply made;
  consumer_request_.clear();
  const nlohmann::json body{{"stream_name", stream_}, {"config", wanted}};
  if (wanted.contains("durable_name")) {
    made = co_await c->api("CONSUMER.DURABLE.CREATE." + stream_ + '.' + consumer_, body);
  } else {
    made = co_await c->api("CONSUMER.CREATE." + stream_, body);
    if (made.ok()) consumer_ = made.body.value("name", std::string());
  }
  if (!uses(c) || stopping_) co_return step::over;
  // Another bridge has made one since the others were removed; or a server still has one that is not listed (see import_link):
  // that server removes it when a new one with its name is refused there, or is removed.
  const bool ordered = kind_ == ring_class::ordered;
  if (made.error == js_error::consumer_not_unique || (ordered && made.error == js_error::consumer_exists)) {
    unlisted_ = ordered;
    tell_waiting("the stream \"" + stream_ + "\": " + made.text);
    co_return step::again;
  }
  if (const step s = answer_to(made, "consumer of the stream \"" + stream_ + '"'); s != step::done) co_return s;
  consumer_gone_ = waited_for_other_ = false;
  const auto past = made.body.find("delivered");
  const bool old = past != made.body.end() && past->is_object() && past->value("consumer_seq", std::uint64_t{0}) != 0;
  if (std::exchange(unlisted_, false) || (ordered && old)) {
    const auto removed = co_await c->api("CONSUMER.DELETE." + stream_ + '.' + consumer_);
    if (!uses(c) || stopping_) co_return step::over;
    if (!removed.ok()) tell_waiting("consumer of the stream \"" + stream_ + "\": " + removed.text);  // it is listed now
    co_return step::again;
  }
  if (wanted.contains("durable_name") && config.value("num_replicas", 1) > 1) consumer_request_ = body.dump();
  next_consumer_sequence_ = 1;
  const std::string inbox = c->inbox_prefix() + inbox_name_ + '.' + std::to_string(++asked_);
  messages_ = c->subscribe(inbox + ".*", [this, c](message_ptr m) { on_message(c, std::move(m)); });
  pull_prefix_ = inbox + '.';
  co_return step::done;
}

}  // namespace belfry::detail::nats
