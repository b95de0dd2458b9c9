
#include "server_session.hpp"

#include "../../base/utf8.hpp"

#include <algorithm>
#include <cstdlib>
#include <utility>

namespace belfry::detail {
namespace {

bool read_request(std::string_view message, client_request& out, failure& f) {
  const auto malformed = [&] {
    f = {make_error_code(errc::protocol_error), "not a request"};
    return false;
  };
  pickle::value v = pickle::load(message, f);
  if (f) return false;
  auto* const parts = std::get_if<pickle::tuple>(&v);
  if (parts == nullptr || parts->items.size() != 4) return malformed();
  auto* const method = std::get_if<std::string>(&parts->items[1]);
  auto* const arguments = std::get_if<pickle::tuple>(&parts->items[2]);
  // An empty dict: no request has keyword arguments.
  const bool plain = std::holds_alternative<pickle::none>(parts->items[0]) &&
                     std::holds_alternative<pickle::dict>(parts->items[3]);
  if (!plain || method == nullptr || arguments == nullptr) return malformed();
  out = {std::move(*method), std::move(arguments->items)};
  return true;
}

/// The text of an error may end in the middle of a character.
std::string utf8(std::string text) {
  if (!is_utf8(text)) {
    std::replace_if(
        text.begin(), text.end(), [](char c) { return (c & 0x80) != 0; }, '?');
  }
  return text;
}

std::string pickled(reply r) {
  pickle::tuple answer;
  if (r.refusal.empty()) {
    answer.items.emplace_back(std::string("#RETURN"));
    answer.items.push_back(std::move(r.value));
  } else {
    answer.items.emplace_back(std::string("#TRACEBACK"));
    answer.items.emplace_back(utf8(std::move(r.refusal)));
  }
  return pickle::dump(answer);
}

}  // namespace

server_session::server_session(std::string_view key, bool md5_allowed, std::size_t longest_request,
                               service& s)
    : key_(key), md5_allowed_(md5_allowed), longest_request_(longest_request), service_(s) {
  try {
    challenge_ = authentication::make_challenge();
    send(std::string(authentication::challenge_prefix) + challenge_);
  } catch (const std::system_error& e) {
    finish({e.code(), "authentication"});
  }
}

void server_session::on_sent() {
  switch (state_) {
    case state::challenging: state_ = state::judging; return receive(authentication::max_message);
    case state::welcoming: state_ = state::challenged; return receive(authentication::max_message);
    case state::answering: state_ = state::welcomed; return receive(authentication::max_message);
    case state::refusing:
      return finish(
          {make_error_code(errc::authentication_failed), "the client has another key"});
    case state::replying: state_ = state::idle; return receive(longest_request_);
    case state::judging:
    case state::challenged:
    case state::welcomed:
    case state::idle: break;
  }
  std::abort();  // nothing is sent in these states
}

void server_session::on_message(std::string_view message) {
  switch (state_) {
    case state::judging: {
      const bool right = authentication::verify(key_, challenge_, message, md5_allowed_);
      state_ = right ? state::welcoming : state::refusing;
      return send(right ? authentication::welcome : authentication::refusal);
    }
    case state::challenged: return answer_challenge(message);
    case state::welcomed:
      if (message != authentication::welcome) {
        return finish(
            {make_error_code(errc::authentication_failed), "the client refused our key"});
      }
      state_ = state::idle;
      return receive(longest_request_);
    case state::idle: return serve(message);
    default: std::abort();  // nothing is received in these states
  }
}

void server_session::answer_challenge(std::string_view message) {
  failure f;
  const std::string answer = authentication::answer_message(key_, message, md5_allowed_, f);
  if (f) return finish(std::move(f));
  state_ = state::answering;
  send(answer);
}

void server_session::serve(std::string_view message) {
  client_request r;
  failure f;
  if (!read_request(message, r, f)) return finish(std::move(f));
  state_ = state::replying;
  send(pickled(service_.serve(r)));
}

}  // namespace belfry::detail
