// What an export says to the server, and hears from it, before the first message on a connection.
#include "description.hpp"
#include "export_link.hpp"
#include "jetstream.hpp"

#include <algorithm>
#include <utility>

namespace belfry::detail::nats {

using namespace std::chrono_literals;

net::awaitable<void> export_link::session(std::shared_ptr<connection> c) {
  while (!rx_ && uses(c)) co_await joined_.wait();
  if (!uses(c)) co_return;
  const step prepared = co_await prepare_until_done(c);
  if (prepared != step::done || !uses(c)) co_return;
  answer_prefix_ = c->inbox_prefix() + "e" + text_of(hash_of(subject_)) + '.';
  begin_run();
  while (uses(c)) {
    co_await tick_.wait_for(1s);
    if (!uses(c)) co_return;
    if (running_ && unanswered_ != 0 && clock::now() - last_answer_ > most_silence) {
      tell_waiting("the server does not acknowledge");
      unanswered_ = 0;  // what has come nevertheless has come before what is sent from now on
      end_run(0ms, true);
    }
  }
}

net::awaitable<export_link::step> export_link::prepare_until_done(std::shared_ptr<connection> c) {
  for (;;) {
    if (!uses(c)) co_return step::over;
    const step s = co_await prepare(c);
    if (s != step::again || !uses(c)) co_return s;
    co_await pause_.wait_for(1s);
  }
}

net::awaitable<export_link::step> export_link::prepare(std::shared_ptr<connection> c) {
  subject_description what;
  if (has_stream()) what.stream = stream_;
  what.subject = target_;
  what.channel = description_;
  const auto told = co_await put_description(c, subject_, std::move(what), options_.replicas);
  if (!uses(c)) co_return step::over;
  step s = answer_to(told, "describe the channel");
  if (s != step::done || !has_stream()) co_return s;
  s = co_await prepare_stream(c);
  if (s != step::done || kind_ != ring_class::ordered) co_return s;
  stored_message last;
  const auto r = co_await last_message(c, stream_, target_, last);
  if (!uses(c)) co_return step::over;
  if (!r.ok() && r.error != js_error::no_message) co_return answer_to(r, "last message of the stream");
  const message_id id = message_id::parse(last.id);
  if (last.found && id.has_position && id.segment == segment_) {
    message_part part;
    const bool ends_value = last.part.empty() || (message_part::parse(last.part, part) && part.is_last());
    stored_before_ = id.position + (ends_value ? 1 : 0);
    for (entry& e : window_) {
      if (e.stored || message_id::parse(e.id).position >= *stored_before_) continue;
      add(counters_.duplicates);
      stored(e);
    }
    release();
  }
  co_return step::done;
}

net::awaitable<export_link::step> export_link::prepare_stream(std::shared_ptr<connection> c) {
  auto r = co_await c->api("STREAM.INFO." + stream_);
  if (!uses(c)) co_return step::over;
  if (r.error == js_error::stream_not_found) {
    if (!options_.create) {
      tell_waiting("there is no stream \"" + stream_ + '"');
      co_return step::again;
    }
    const auto window = options_.max_age.count() == 0 ? options_.duplicate_window
                                                      : std::min(options_.duplicate_window, options_.max_age);
    const bool broadcast = kind_ == ring_class::broadcast;
    nlohmann::json wanted = as_bucket(options_.stream);
    if (kind_ != ring_class::latest) {
      wanted = {{"name", stream_},
                {"subjects", {subject_}},
                {"retention", broadcast ? "limits" : "workqueue"},
                {"discard", broadcast ? "old" : "new"}};
    }
    const nlohmann::json also{{"description", "Belfry: channel " + channel_},
                              {"storage", options_.memory ? "memory" : "file"},
                              {"max_msgs", options_.max_messages},
                              {"max_bytes", options_.max_bytes},
                              {"max_age", options_.max_age.count()},
                              {"allow_direct", true},
                              {"max_msg_size", -1},
                              {"max_consumers", -1},
                              {"num_replicas", options_.replicas},
                              {"duplicate_window", window.count()}};
    wanted.update(also);
    r = co_await c->api("STREAM.CREATE." + stream_, wanted);
    if (!uses(c)) co_return step::over;
    if (r.error == js_error::name_in_use) co_return step::again;
    look_at(wanted);
    co_return answer_to(r, "make the stream \"" + stream_ + '"');
  }
  if (const step s = answer_to(r, "stream \"" + stream_ + '"'); s != step::done) co_return s;
  const auto config = r.body.find("config");
  if (config == r.body.end() || !takes_subject(*config, target_)) {
    end(nats_event::kind::failed,
        "the stream \"" + stream_ + "\" exists, and does not have the subject " + target_);
    co_return step::over;
  }
  // Others may write to a stream that takes more than this subject.
  const auto subjects = config->find("subjects");
  alone_ = subjects->size() != 1 || subjects->front() != target_;
  look_at(*config);
  co_return step::done;
}

void export_link::look_at(const nlohmann::json& stream_config) {
  const auto number = [&](const char* name) {
    const auto field = stream_config.find(name);
    return field != stream_config.end() && field->is_number_integer() ? field->get<std::int64_t>() : -1;
  };
  const auto discard = stream_config.find("discard");
  const bool waits = discard != stream_config.end() && *discard == "new";
  const auto limit = [&](const char* name) {
    const std::int64_t n = number(name);
    return waits && n > 0 ? std::optional(static_cast<std::uint64_t>(n)) : std::nullopt;
  };
  replicated_ = number("num_replicas") > 1;
  most_bytes_ = limit("max_bytes");
  most_messages_ = limit("max_msgs");
}

}  // namespace belfry::detail::nats
