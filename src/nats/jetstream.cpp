#include "jetstream.hpp"

#include "link.hpp"

#include <array>

namespace belfry::detail::nats {
namespace {

std::string from_base64(std::string_view text) {
  static const std::array<int, 256> values = [] {
    constexpr std::string_view digits = "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789+/";
    std::array<int, 256> v{};
    v.fill(-1);
    for (std::size_t i = 0; i != digits.size(); ++i) v[static_cast<unsigned char>(digits[i])] = static_cast<int>(i);
    return v;
  }();
  std::string out;
  unsigned bits = 0;
  int count = 0;
  for (const char c : text) {
    const int v = values[static_cast<unsigned char>(c)];
    if (v < 0) break;
    bits = bits << 6 | static_cast<unsigned>(v);
    if ((count += 6) >= 8) out += static_cast<char>(bits >> (count -= 8) & 0xff);
  }
  return out;
}

std::string_view token(std::string_view& rest) noexcept {
  const std::size_t dot = rest.find('.');
  const std::string_view first = rest.substr(0, dot);
  rest = dot == std::string_view::npos ? std::string_view() : rest.substr(dot + 1);
  return first;
}

bool matches(std::string_view pattern, std::string_view subject) noexcept {
  while (!pattern.empty() && !subject.empty()) {
    const std::string_view p = token(pattern);
    if (p == ">") return true;
    const std::string_view s = token(subject);
    if (p != "*" && p != s) return false;
  }
  return pattern.empty() && subject.empty();
}

std::string text_in(const nlohmann::json& object, const char* key) {
  const auto found = object.find(key);
  return found != object.end() && found->is_string() ? found->get<std::string>() : std::string();
}

/// Of "NATS/1.0\r\nKey: value\r\n…".
std::string header_in(std::string_view headers, std::string_view key) {
  const std::string begin = "\r\n" + std::string(key) + ':';
  std::size_t at = headers.find(begin);
  if (at == std::string_view::npos) return {};
  at += begin.size();
  while (at < headers.size() && headers[at] == ' ') ++at;
  return std::string(headers.substr(at, headers.find("\r\n", at) - at));
}

}  // namespace

bool takes_subject(const nlohmann::json& config, std::string_view subject) {
  const auto subjects = config.find("subjects");
  if (subjects == config.end() || !subjects->is_array()) return false;
  for (const auto& s : *subjects)
    if (s.is_string() && matches(s.get_ref<const std::string&>(), subject)) return true;
  return false;
}

net::awaitable<connection::api_reply> last_message(std::shared_ptr<connection> c, std::string stream,
                                                   std::string subject, stored_message& out) {
  auto info = co_await c->api("STREAM.INFO." + stream);
  if (!info.ok()) co_return info;
  const auto config = info.body.find("config");
  if (config != info.body.end() && config->is_object() && config->contains("allow_direct") &&
      (*config)["allow_direct"] == true) {
    auto direct = co_await c->api_request("DIRECT.GET." + stream + '.' + subject);
    if (!direct.message) co_return connection::not_answered(direct.how, "DIRECT.GET." + stream);
    natsMsg* const m = direct.message.get();
    connection::api_reply r;
    if (!header_of(m, "Status").empty()) {
      r.code = 404;
      r.error = js_error::no_message;
      r.text = "no message found";
      co_return r;
    }
    out.found = true;
    out.id = header_of(m, header::id);
    out.part = header_of(m, header::part);
    out.data = data_of(m);
    co_return r;
  }
  const nlohmann::json wanted{{"last_by_subj", subject}};
  auto r = co_await c->api("STREAM.MSG.GET." + stream, wanted);
  if (!r.ok()) co_return r;
  const auto message = r.body.find("message");
  if (message == r.body.end() || !message->is_object()) co_return r;
  out.found = true;
  const std::string headers = from_base64(text_in(*message, "hdrs"));
  out.id = header_in(headers, header::id);
  out.part = header_in(headers, header::part);
  out.data = from_base64(text_in(*message, "data"));
  co_return r;
}

std::uint64_t sequence_in(std::string_view acknowledgement) {
  const auto said = nlohmann::json::parse(acknowledgement, nullptr, false);
  if (!said.is_object()) return 0;
  const auto found = said.find("seq");
  return found != said.end() && found->is_number_unsigned() ? found->get<std::uint64_t>() : 0;
}

// $JS.ACK.STREAM.CONSUMER.DELIVERED.SEQUENCE.CONSUMER_SEQUENCE.TIME.PENDING, or with a domain and a hash of the account
// behind ACK, and perhaps more at the end.
delivery delivery::parse(std::string_view reply) noexcept {
  std::array<std::string_view, 12> tokens;
  std::size_t count = 0;
  while (!reply.empty() && count != tokens.size()) tokens[count++] = token(reply);
  delivery d;
  if (count < 9 || tokens[0] != "$JS" || tokens[1] != "ACK") return d;
  const std::size_t at = count == 9 ? 4 : 6;
  d.valid = parse_number(tokens[at], d.deliveries) && parse_number(tokens[at + 1], d.stream_sequence) &&
            parse_number(tokens[at + 2], d.consumer_sequence);
  return d;
}

std::uint64_t hash_of(std::string_view text) noexcept {
  std::uint64_t h = 0xcbf29ce484222325;
  for (const char c : text) h = (h ^ static_cast<unsigned char>(c)) * 0x100000001b3;
  return h;
}

}  // namespace belfry::detail::nats
