// libFuzzer: any bytes as what a peer of a manager says. The first byte chooses who has to make sense
// of the others: the pickles, or the proof of the key.
#include "../../src/manager/authentication.hpp"
#include "../../src/manager/pickle.hpp"

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

/// What a value has of what is limited.
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

/// The bytes: one for the length of the key, the key, one for the length of the challenge, the
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
    // Nobody finds an answer by chance: this one is the right one, or of the corpus, which has keys.
    if (authentication::verify(key, challenge, answer, md5_allowed)) {
      require(!authentication::verify(std::string(key) + 'x', challenge, answer, md5_allowed));
      if (!md5_allowed) require(authentication::verify(key, challenge, answer, true));
    }
  }
}

// ---- third choice: the conversation (src/manager/conversation.hpp), still to come ----

}  // namespace

extern "C" int LLVMFuzzerTestOneInput(const std::uint8_t* data, std::size_t size) {
  if (size == 0) return 0;
  const std::string_view rest(reinterpret_cast<const char*>(data) + 1, size - 1);
  switch (data[0]) {
    case 'p': read_pickle(rest); break;
    case 'a': prove(rest); break;
    // case 'c': the conversation
    default: break;
  }
  return 0;
}
