
#include "authentication.hpp"

#include "../../platform/machine.hpp"

#include <algorithm>
#include <array>
#include <cstdint>
#include <span>

#include <openssl/crypto.h>
#include <openssl/evp.h>

namespace belfry::detail::authentication {
namespace {

struct digest {
  std::string_view prefix;
  const char* name;  // for libcrypto
  std::size_t bytes;

  bool is_md5() const noexcept { return bytes == 16; }
};

constexpr digest md5{"{md5}", "MD5", 16};
constexpr digest preferred{"{sha256}", "SHA256", 32};
constexpr std::array digests{
    md5,
    preferred,
    digest{"{sha384}", "SHA384", 48},
    digest{"{sha3_256}", "SHA3-256", 32},
    digest{"{sha3_384}", "SHA3-384", 48},
};
constexpr std::size_t most_bytes = 48;

/// No challenge or answer with a prefix has this length: the sender knows only MD5.
constexpr std::size_t legacy_challenge = 20;
constexpr std::size_t legacy_answer = md5.bytes;

constexpr std::size_t random_bytes = 40;
constexpr std::size_t longest_challenge = max_message - challenge_prefix.size();

const digest* digest_of(std::string_view message) noexcept {
  const auto found = std::find_if(digests.begin(), digests.end(),
                                  [&](const digest& d) { return message.starts_with(d.prefix); });
  return found == digests.end() ? nullptr : &*found;
}

/// The HMAC of a message with the key. While the message's challenge is unanswered, its HMAC is as good as
/// the key; so it is erased from memory.
class mac {
 public:
  mac(const digest& d, std::string_view key, std::string_view message) noexcept {
    // For EVP_MAC_init a null pointer means no key, not an empty one.
    const char* const k = key.empty() ? "" : key.data();
    const auto* const m = reinterpret_cast<const unsigned char*>(message.data());
    good_ = EVP_Q_mac(nullptr, "HMAC", nullptr, d.name, nullptr, k, key.size(), m, message.size(),
                      bytes_.data(), bytes_.size(), &size_) != nullptr &&
            size_ == d.bytes;
  }
  ~mac() { OPENSSL_cleanse(bytes_.data(), bytes_.size()); }
  mac(const mac&) = delete;
  mac& operator=(const mac&) = delete;

  /// False if libcrypto lacks this digest, as FIPS builds lack MD5.
  explicit operator bool() const noexcept { return good_; }

  std::string_view view() const noexcept {
    return {reinterpret_cast<const char*>(bytes_.data()), size_};
  }
  bool equals(std::string_view other) const noexcept {
    return good_ && other.size() == size_ && CRYPTO_memcmp(bytes_.data(), other.data(), size_) == 0;
  }

 private:
  std::array<unsigned char, most_bytes> bytes_{};
  std::size_t size_ = 0;
  bool good_ = false;
};

}  // namespace

std::string make_challenge() {
  std::string challenge(preferred.prefix.size() + random_bytes, '\0');
  std::copy(preferred.prefix.begin(), preferred.prefix.end(), challenge.begin());
  failure f;
  if (!platform::fill_random(std::as_writable_bytes(std::span(challenge).last(random_bytes)), f))
    f.raise();  // a challenge that can be guessed proves nothing
  return challenge;
}

std::string answer(std::string_view key, std::string_view challenge, bool md5_allowed, failure& f) {
  const auto refuse = [&](errc code, std::string_view why) {
    f = {make_error_code(code), "authentication: " + std::string(why)};
    return std::string();
  };
  const bool legacy = challenge.size() == legacy_challenge;
  const digest* const d = legacy ? &md5 : digest_of(challenge);
  if (challenge.size() < legacy_challenge) {
    return refuse(errc::protocol_error, "the challenge is too short");
  }
  if (challenge.size() > longest_challenge) {
    return refuse(errc::protocol_error, "the challenge is too long");
  }
  if (d == nullptr) return refuse(errc::protocol_error, "the challenge names no known digest");
  if (d->is_md5() && !md5_allowed) {
    return refuse(errc::authentication_failed, "the peer wants HMAC-MD5, which is not allowed");
  }
  const mac m(*d, key, challenge);
  if (!m) {
    return refuse(errc::authentication_failed, "libcrypto has no HMAC-" + std::string(d->name));
  }
  std::string all(legacy ? std::string_view() : d->prefix);
  return all.append(m.view());
}

std::string answer_message(std::string_view key, std::string_view message, bool md5_allowed,
                           failure& f) {
  if (message.starts_with(challenge_prefix)) {
    return answer(key, message.substr(challenge_prefix.size()), md5_allowed, f);
  }
  f = {make_error_code(errc::protocol_error), "the message is not a challenge"};
  return {};
}

bool verify(std::string_view key, std::string_view challenge, std::string_view answer,
            bool md5_allowed) {
  const bool legacy = answer.size() == legacy_answer;
  const digest* const d = legacy ? &md5 : digest_of(answer);
  if (d == nullptr || (d->is_md5() && !md5_allowed)) return false;
  if (!legacy) answer.remove_prefix(d->prefix.size());
  return mac(*d, key, challenge).equals(answer);
}

}  // namespace belfry::detail::authentication
