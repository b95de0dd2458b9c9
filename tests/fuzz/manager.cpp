// libFuzzer: any bytes as what a peer of a manager sends. The first byte chooses what interprets the others:
// the pickles, the proof of the key, or one of both ends of a connection, from its beginning or after
// authentication.
#include "../../src/manager/wire/authentication.hpp"
#include "../../src/manager/client/client_session.hpp"
#include "../../src/manager/wire/pickle.hpp"
#include "../../src/manager/server/server_session.hpp"

#include <algorithm>
#include <cstdlib>
#include <utility>

namespace {

namespace authentication = belfry::detail::authentication;
namespace pickle = belfry::detail::pickle;
using belfry::detail::failure;

void require(bool truth) {
  if (!truth) std::abort();
}

/// The limited quantities of a value.
struct extent {
  std::size_t depth = 0;
  std::size_t values = 1;
  std::size_t text = 0;
};

extent extent_of(const pickle::value& v);

extent extent_of(const std::vector<pickle::value>& items) {
  extent all{1};
  for (const pickle::value& item : items) {
    const extent e = extent_of(item);
    all.depth = std::max(all.depth, 1 + e.depth);
    all.values += e.values;
    all.text += e.text;
  }
  return all;
}

extent extent_of(const pickle::value& v) {
  if (const auto* l = std::get_if<pickle::list>(&v)) return extent_of(l->items);
  if (const auto* t = std::get_if<pickle::tuple>(&v)) return extent_of(t->items);
  if (const auto* text = std::get_if<std::string>(&v)) return {0, 1, text->size()};
  return {std::holds_alternative<pickle::dict>(v) ? std::size_t{1} : 0};
}

void read_pickle(std::string_view bytes) {
  failure f;
  const pickle::value v = pickle::load(bytes, f);
  if (f) {
    require(f.code == belfry::errc::protocol_error && !f.what.empty());
    require(v == pickle::value());
    return;
  }
  const extent all = extent_of(v);
  require(all.depth <= pickle::max_depth);
  require(all.values <= pickle::max_values && all.values <= bytes.size());
  require(all.text <= 2 * bytes.size() + (1 << 20));
  require(pickle::load(pickle::dump(v), f) == v && !f);
}

/// The bytes: one for the length of the key, the key, one for the length of the challenge, the challenge, the
/// answer.
/// challenge, the answer.
void prove(std::string_view bytes) {
  const auto part = [&] {
    if (bytes.empty()) return bytes;
    const std::size_t size =
        std::min<std::size_t>(static_cast<unsigned char>(bytes[0]), bytes.size() - 1);
    const std::string_view p = bytes.substr(1, size);
    bytes.remove_prefix(1 + size);
    return p;
  };
  const std::string_view key = part();
  const std::string_view challenge = part();
  const std::string_view answer = bytes;

  for (const bool md5_allowed : {false, true}) {
    failure f;
    const std::string right = authentication::answer(key, challenge, md5_allowed, f);
    require(static_cast<bool>(f) == right.empty());
    if (!f) {
      require(right.size() <= authentication::max_message);
      require(authentication::verify(key, challenge, right, md5_allowed));
      require(!authentication::verify(std::string(key) + 'x', challenge, right, md5_allowed));
    }
    // A valid answer is not found by chance: it is this one, or one of the corpus, which has keys.
    if (authentication::verify(key, challenge, answer, md5_allowed)) {
      require(!authentication::verify(std::string(key) + 'x', challenge, answer, md5_allowed));
      if (!md5_allowed) require(authentication::verify(key, challenge, answer, true));
    }
  }
}

// ---- connections ----------------------------------------------------------------------------------

using belfry::detail::client_session;
using belfry::detail::conversation;
using belfry::detail::server_session;

constexpr std::string_view key = "the key";
constexpr std::size_t longest_request = 4096;

/// Carries out any request, for authenticated clients.
class obliging final : public server_session::service {
 public:
  const server_session* session = nullptr;

  belfry::detail::reply serve(const belfry::detail::client_request& r) override {
    require(session->authenticated());
    pickle::tuple all;
    all.items.emplace_back(r.method);
    for (const pickle::value& a : r.arguments) all.items.push_back(a);
    return {std::move(all), r.method == "refuse" ? r.method + "\xff" : std::string()};
  }
};

/// Feeds it what it wants to receive, in order, until either has no more.
void converse(conversation& c, std::string_view bytes) {
  for (;;) {
    switch (c.next()) {
      case conversation::step::done: return;
      case conversation::step::send:
        require(c.output().size() >= 4);
        c.sent();
        break;
      case conversation::step::receive: {
        const auto room = c.input();
        require(!room.empty() &&
                room.size() <= std::max<std::size_t>(client_session::longest_reply, 4));
        if (bytes.size() < room.size()) {
          return c.interrupted({std::make_error_code(std::errc::connection_reset), "the end"});
        }
        bytes.copy(room.data(), room.size());
        bytes.remove_prefix(room.size());
        c.received();
        break;
      }
    }
  }
}

/// Connects both until neither has anything to send.
void introduce(server_session& server, client_session& client) {
  for (bool something = true; something;) {
    something = false;
    for (conversation* from :
         {static_cast<conversation*>(&server), static_cast<conversation*>(&client)}) {
      conversation& to = from == &server ? static_cast<conversation&>(client) : server;
      if (from->next() != conversation::step::send) continue;
      std::string_view said = from->output();
      while (!said.empty()) {
        const auto room = to.input();
        said.copy(room.data(), room.size());
        said.remove_prefix(room.size());
        to.received();
      }
      from->sent();
      something = true;
    }
  }
}

void be_server(std::string_view bytes, bool from_the_beginning) {
  obliging everything;
  server_session server(key, true, longest_request, everything);
  everything.session = &server;
  if (!from_the_beginning) {
    client_session client{std::string(key), true};
    introduce(server, client);
    require(server.authenticated() && server.idle() && !client.error());
  }
  converse(server, bytes);
  // A random challenge cannot be answered by chance.
  if (from_the_beginning) require(!server.authenticated());
}

void be_client(std::string_view bytes, bool from_the_beginning) {
  client_session client{std::string(key), true};
  if (!from_the_beginning) {
    obliging everything;
    server_session server(key, true, longest_request, everything);
    everything.session = &server;
    introduce(server, client);
    client.request("list_segments", {});
  }
  converse(client, bytes);
  if (from_the_beginning) require(static_cast<bool>(client.error()));
}

}  // namespace

extern "C" int LLVMFuzzerTestOneInput(const std::uint8_t* data, std::size_t size) {
  if (size == 0) return 0;
  const std::string_view rest(reinterpret_cast<const char*>(data) + 1, size - 1);
  switch (data[0]) {
    case 'p': read_pickle(rest); break;
    case 'a': prove(rest); break;
    case 's': be_server(rest, true); break;
    case 'S': be_server(rest, false); break;
    case 'c': be_client(rest, true); break;
    case 'C': be_client(rest, false); break;
    default: break;
  }
  return 0;
}
