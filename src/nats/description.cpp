#include "description.hpp"

#include "jetstream.hpp"
#include "link.hpp"

#include <utility>

namespace belfry::detail::nats {

nlohmann::json as_bucket(const std::string& name) {
  return {{"name", bucket_stream_prefix + name},
          {"subjects", {bucket_subject_prefix + name + ".>"}},
          {"max_msgs_per_subject", 1},
          {"max_consumers", -1},
          {"max_msgs", -1},
          {"max_bytes", -1},
          {"max_msg_size", -1},
          {"retention", "limits"},
          {"discard", "new"},
          {"storage", "file"},
          {"allow_rollup_hdrs", true},
          {"allow_direct", true},
          {"deny_delete", true},
          {"num_replicas", 1}};
}

namespace {

connection::api_reply while_doing(const char* what, connection::api_reply r) {
  r.text = std::string(what) + ": " + r.text;
  return r;
}

}  // namespace

net::awaitable<connection::api_reply> put_description(std::shared_ptr<connection> c, std::string key,
                                                      subject_description what, unsigned replicas) {
  const nlohmann::json said{{"stream", what.stream.empty() ? nlohmann::json() : nlohmann::json(what.stream)},
                            {"subject", what.subject},
                            {"channel", nlohmann::json::parse(what.channel, nullptr, false)}};
  const std::string text = said.dump(-1, ' ', false, nlohmann::json::error_handler_t::replace);
  stored_message before;
  auto r = co_await last_message(c, bucket, bucket_subject + key, before);
  if (r.ok() && before.data == text) co_return r;
  if (r.error == js_error::stream_not_found) {
    nlohmann::json wanted = as_bucket("belfry");
    wanted["num_replicas"] = replicas;
    r = co_await c->api(std::string("STREAM.CREATE.") + bucket, wanted);
    if (!r.ok() && r.error != js_error::name_in_use) co_return while_doing("make the bucket of descriptions", std::move(r));
  } else if (!r.ok() && r.error != js_error::no_message) {
    co_return while_doing("bucket of descriptions", std::move(r));
  }
  auto put = co_await c->request(bucket_subject + key, text);
  if (put.how == connection::answer::came) co_return connection::parse_reply(data_of(put.message.get()));
  connection::api_reply stored;
  stored.code = 503;
  stored.text = put.how == connection::answer::no_responders ? "JetStream is not there" : "no answer (no permission?)";
  co_return stored;
}

net::awaitable<connection::api_reply> read_description(std::shared_ptr<connection> c, std::string key,
                                                       subject_description& out) {
  stored_message said;
  auto r = co_await last_message(c, bucket, bucket_subject + key, said);
  out.found = said.found;
  if (!said.found) {
    if (r.error == js_error::no_message || r.error == js_error::stream_not_found) r = {};
    co_return r;
  }
  // Not deeper than a type may be: what the library does with it is recursive, and any participant may have put it there.
  const auto what = nlohmann::json::parse(
      said.data, [](int depth, nlohmann::json::parse_event_t, nlohmann::json&) { return depth <= 64; }, false);
  const auto member = [](const nlohmann::json& of, const char* name) {
    return of.is_object() && of.contains(name) ? of[name] : nlohmann::json();
  };
  const auto text = [](const nlohmann::json& value) { return value.is_string() ? value.get<std::string>() : std::string(); };
  const nlohmann::json channel = member(what, "channel");
  out.valid = channel.is_object();
  if (!out.valid) co_return r;
  out.stream = text(member(what, "stream"));
  out.subject = text(member(what, "subject"));
  if (out.subject.empty()) out.subject = key;
  out.ring = text(member(channel, "ring"));
  out.channel = channel.dump(-1, ' ', false, nlohmann::json::error_handler_t::replace);
  co_return r;
}

}  // namespace belfry::detail::nats
