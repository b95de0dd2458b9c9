// The proof of the key in both forms and both directions. The expected answers were computed with Python's
// `hmac`.
#include "../../src/manager/wire/authentication.hpp"

#include "support/catch.hpp"

#include <set>
#include <vector>

namespace authentication = belfry::detail::authentication;

namespace {

/// `first`, `first` + 1, and so on: in place of random bytes.
std::string counting_bytes(std::size_t n, int first = 0) {
  std::string all;
  for (; all.size() != n; ++first) all += static_cast<char>(first);
  return all;
}

std::string from_hexadecimal(std::string_view digits) {
  std::string all;
  for (std::size_t i = 0; i != digits.size(); i += 2) {
    all += static_cast<char>(std::stoi(std::string(digits.substr(i, 2)), nullptr, 16));
  }
  return all;
}

struct answered {
  std::string bytes;
  std::error_code code;
};

answered answer_of(std::string_view key, std::string_view challenge, bool md5_allowed) {
  belfry::detail::failure f;
  std::string bytes = authentication::answer(key, challenge, md5_allowed, f);
  if (f) CHECK(bytes.empty());
  CHECK(f.what.empty() == !f);
  return {std::move(bytes), f.code};
}

struct known_answer {
  const char* key;
  const char* digest;
  const char* mac;  // of the digest's prefix and counting_bytes(40)
};

constexpr known_answer known_answers[] = {
    {"key", "{md5}", "532a07103ac1f7d7e40898f013ab0def"},
    {"key", "{sha256}", "05b37335205f51ff483146e965fdf576943e0e64675a64ceccba80b6704d76b8"},
    {"key", "{sha384}",
     "2f1a4233782b9eb58bdc61e0bbfc3dc518ef4f11e57c645b0a71de4ed5b9d38b1046df44f799a8dd5a563cfd2001a"
     "5"
     "3d"},
    {"key", "{sha3_256}", "8952712aef2d0531a6eea6353c874de5335699947695baa0cfd0d30f50c0a5eb"},
    {"key", "{sha3_384}",
     "40407b88279b3cbcda6c2dd87059f061095dafba34d4cf2facdbd87260550c3a17caff5e3bc8d97899ada5a2b81c2"
     "a"
     "76"},
    {"", "{md5}", "53a69d30c85951faa3c8cdad1d7dd275"},
    {"", "{sha256}", "d18b190a737f779d3125c4a2dfddcebf933e2f2713bc92fbe386ca25df9fd7af"},
    {"", "{sha384}",
     "4461db5c418fcd536324e1f497d17cd1e5a783b74d2d626d2b511f68b6ad3ddfb17c6cdab93a68dfc6e47811cd144"
     "f"
     "93"},
    {"", "{sha3_256}", "eb7f7cc26247f61662c4e683bdd7275ab4b15c1a6d1c3494b56e982bf7fe359d"},
    {"", "{sha3_384}",
     "62e742de5626d25b951c134c47f73387047b5cfc6914435449835afce95783078bc500b2a2743d810dd17b35cc17b"
     "5"
     "2b"},
};

/// Answers of legacy peers with the key "key": to a legacy challenge, and to one of ours.
const std::string legacy_answer = from_hexadecimal("5b2709aec5bcecbd08bd1f92d77ecea1");
const std::string legacy_answer_to_sha256 = from_hexadecimal("044b1f89b24a16c831a13039e4534300");

const std::string sha256_challenge = "{sha256}" + counting_bytes(40);
const std::string sha256_answer =
    "{sha256}" +
    from_hexadecimal("05b37335205f51ff483146e965fdf576943e0e64675a64ceccba80b6704d76b8");

}  // namespace

TEST_CASE("answers equal CPython's", "[authentication]") {
  for (const known_answer& known : known_answers) {
    INFO(known.digest << " with the key \"" << known.key << '"');
    const std::string challenge = known.digest + counting_bytes(40);
    const std::string expected = known.digest + from_hexadecimal(known.mac);
    CHECK(answer_of(known.key, challenge, true).bytes == expected);
    CHECK(authentication::verify(known.key, challenge, expected, true));
    CHECK_FALSE(authentication::verify("another", challenge, expected, true));
    const bool md5 = std::string_view(known.digest) == "{md5}";
    CHECK(answer_of(known.key, challenge, false).bytes == (md5 ? "" : expected));
    CHECK(authentication::verify(known.key, challenge, expected, false) == !md5);
  }
}

TEST_CASE("an empty key is a key", "[authentication]") {
  CHECK(answer_of(std::string_view(), sha256_challenge, false).bytes ==
        answer_of("", sha256_challenge, false).bytes);
  CHECK(answer_of("", sha256_challenge, false).bytes !=
        answer_of(std::string_view("\1", 1), sha256_challenge, false).bytes);
  CHECK(answer_of("", counting_bytes(20), true).bytes ==
        from_hexadecimal("eee7e8c8fa6d98a59d76c44ce7018548"));
  CHECK_FALSE(authentication::verify("", sha256_challenge, sha256_answer, true));
  // The previous key must not be used.
  CHECK(authentication::verify("key", sha256_challenge, sha256_answer, true));
  CHECK_FALSE(authentication::verify("", sha256_challenge, sha256_answer, true));
}

TEST_CASE("a key may be longer than a block of the digest, and have NULs", "[authentication]") {
  CHECK(answer_of(std::string(200, 'k'), sha256_challenge, false).bytes ==
        "{sha256}" +
            from_hexadecimal("74e34ea54571341eb31affab366dede914e8e210df6bdadc4fa46cbdea14293e"));
  const std::string with_nul("key\0more", 8);
  CHECK(answer_of(with_nul, sha256_challenge, false).bytes != sha256_answer);
  CHECK(authentication::verify(with_nul, sha256_challenge,
                               answer_of(with_nul, sha256_challenge, false).bytes, false));
}

TEST_CASE("a challenge has the form of 3.12, and is never the same", "[authentication]") {
  std::set<std::string> seen;
  for (int i = 0; i != 100; ++i) {
    const std::string challenge = authentication::make_challenge();
    CHECK(challenge.size() == 48);
    CHECK(challenge.find("{sha256}") == 0);
    CHECK(seen.insert(challenge).second);
    CHECK(authentication::challenge_prefix.size() + challenge.size() <=
          authentication::max_message);
  }
  for (std::size_t i = 8; i != 48; ++i) {  // every byte is random
    std::set<char> values;
    for (const std::string& challenge : seen) values.insert(challenge[i]);
    CHECK(values.size() > 10);
  }
}

TEST_CASE("both sides are Belfry's", "[authentication]") {
  for (const char* key : {"", "key", "a longer key, as good as any other"}) {
    const std::string challenge = authentication::make_challenge();
    const answered reply = answer_of(key, challenge, false);
    REQUIRE_FALSE(reply.code);
    CHECK(reply.bytes.size() <= authentication::max_message);
    CHECK(authentication::verify(key, challenge, reply.bytes, false));
    CHECK_FALSE(authentication::verify(key, authentication::make_challenge(), reply.bytes, true));
    CHECK_FALSE(authentication::verify("wrong", challenge, reply.bytes, true));
  }
}

TEST_CASE("the challenge of a legacy peer is answered", "[authentication]") {
  const std::string challenge = counting_bytes(20);
  CHECK(answer_of("key", challenge, true).bytes == legacy_answer);
  const answered refused = answer_of("key", challenge, false);
  CHECK(refused.code == belfry::errc::authentication_failed);
  CHECK(refused.bytes.empty());
  // Twenty random bytes that happen to look like a challenge of 3.12.
  const std::string lookalike = "{sha256}" + counting_bytes(12);
  CHECK(answer_of("key", lookalike, true).bytes ==
        from_hexadecimal("f8c48905d2a7d5bfcd338489e3398c48"));
  CHECK(answer_of("key", lookalike, false).code == belfry::errc::authentication_failed);
}

TEST_CASE("the answer of a legacy peer is accepted", "[authentication]") {
  CHECK(authentication::verify("key", sha256_challenge, legacy_answer_to_sha256, true));
  CHECK_FALSE(authentication::verify("key", sha256_challenge, legacy_answer_to_sha256, false));
  CHECK_FALSE(authentication::verify("wrong", sha256_challenge, legacy_answer_to_sha256, true));
  CHECK_FALSE(authentication::verify("key", sha256_challenge, legacy_answer, true));
}

TEST_CASE("an answer with another digest is accepted, except MD5", "[authentication]") {
  const std::string sha384 =
      "{sha384}" + from_hexadecimal(
                       "56786f888f3fdebcbde52c420c71a3de4491dbd3b14e07780c82b50db7b26a"
                       "7fd7ac1615b122c6453d4a07670ea29b88");
  CHECK(authentication::verify("key", sha256_challenge, sha384, false));
  const std::string sha3_384 =
      "{sha3_384}" + from_hexadecimal(
                         "4a0dad3a099c2387ed0d763ef5a0abacf3f011b9ce4134120bf33402ea7d"
                         "a6e4bfd77091d543fd96e8a236710ec1e409");
  CHECK(authentication::verify("key", sha256_challenge, sha3_384, false));

  const std::string downgraded = "{md5}" + legacy_answer_to_sha256;
  CHECK(authentication::verify("key", sha256_challenge, downgraded, true));
  CHECK_FALSE(authentication::verify("key", sha256_challenge, downgraded, false));
  // The prefix is part of what is signed: so a peer cannot be tricked into answering a weaker challenge that
  // passes for this one.
  const answered weaker = answer_of("key", "{md5}" + counting_bytes(40), true);
  CHECK_FALSE(weaker.code);
  CHECK_FALSE(authentication::verify("key", sha256_challenge, weaker.bytes, true));
}

TEST_CASE("a challenge that needs MD5 is refused if MD5 is not allowed", "[authentication]") {
  const std::string challenge = "{md5}" + counting_bytes(40);
  CHECK(answer_of("key", challenge, false).code == belfry::errc::authentication_failed);
  CHECK(answer_of("key", challenge, true).bytes ==
        "{md5}" + from_hexadecimal("532a07103ac1f7d7e40898f013ab0def"));
}

TEST_CASE("a malformed challenge is not answered", "[authentication]") {
  const std::string random = counting_bytes(40);
  std::vector<std::string> garbage = {
      random,
      "{}" + random,
      "{" + random,
      "{sha256" + random,
      "sha256}" + random,
      " {sha256}" + random,
      "{SHA256}" + random,
      "{sha-256}" + random,
      "{sha1}" + random,
      "{sha512}" + random,
      "{sha3_512}" + random,
      "{sha256 }" + random,
      "{sha256_long_name}" + random,
      std::string("{sha256\0}", 9) + random,
      "[sha256]" + random,
      "#CHALLENGE#{sha256}" + random,
      std::string(21, '\0'),
      std::string(40, '{'),
  };
  for (std::size_t n = 0; n != 20; ++n) {
    garbage.push_back(counting_bytes(n, 64));
    garbage.push_back(sha256_challenge.substr(0, n));
  }
  for (std::size_t i = 0; i != garbage.size(); ++i) {
    for (const bool md5_allowed : {false, true}) {
      INFO(i);
      CHECK(answer_of("key", garbage[i], md5_allowed).code == belfry::errc::protocol_error);
    }
  }
  for (std::size_t n = 21; n != 32; ++n) {  // short challenges are not taken for legacy ones
    INFO(n);
    CHECK(answer_of("key", counting_bytes(n), true).code == belfry::errc::protocol_error);
    CHECK_FALSE(answer_of("key", "{sha256}" + counting_bytes(n - 8), false).code);
  }
}

TEST_CASE("a challenge must fit in a message", "[authentication]") {
  const std::size_t most = authentication::max_message - authentication::challenge_prefix.size();
  CHECK_FALSE(answer_of("key", "{sha256}" + std::string(most - 8, 'x'), false).code);
  CHECK(answer_of("key", "{sha256}" + std::string(most - 7, 'x'), false).code ==
        belfry::errc::protocol_error);
}

TEST_CASE("a malformed answer proves nothing", "[authentication]") {
  const std::string mac = sha256_answer.substr(8);
  const std::string with_md5 = legacy_answer_to_sha256;
  REQUIRE(authentication::verify("key", sha256_challenge, sha256_answer, false));
  const std::vector<std::string> garbage = {
      "",
      "{sha256}",
      mac,
      "{}" + mac,
      "{sha3_256}" + mac,
      "{sha384}" + mac,
      "{SHA256}" + mac,
      "{sha1}" + mac,
      " " + sha256_answer,
      sha256_answer + std::string(1, '\0'),
      sha256_answer + mac,
      "{sha256}{sha256}" + mac,
      "{md5}" + mac,
      "{md5}",
      "{md5}" + with_md5.substr(1),
      "{sha256}" + with_md5,
      with_md5 + "xxxx",  // twenty bytes
      with_md5.substr(1),
      std::string(authentication::welcome),
      std::string(16, '\0'),
      std::string(40, '\0'),
      std::string(10'000, 'x'),
      sha256_challenge,
  };
  for (std::size_t i = 0; i != garbage.size(); ++i) {
    for (const bool md5_allowed : {false, true}) {
      INFO(i);
      CHECK_FALSE(authentication::verify("key", sha256_challenge, garbage[i], md5_allowed));
    }
  }
}

TEST_CASE("every bit of an answer and of a challenge counts", "[authentication]") {
  const auto flipped = [](std::string bytes, std::size_t bit) {
    bytes[bit / 8] = static_cast<char>(bytes[bit / 8] ^ (1 << bit % 8));
    return bytes;
  };
  for (std::size_t bit = 0; bit != 8 * sha256_answer.size(); ++bit) {
    INFO(bit);
    CHECK_FALSE(authentication::verify("key", sha256_challenge, flipped(sha256_answer, bit), true));
  }
  for (std::size_t bit = 0; bit != 8 * sha256_challenge.size(); ++bit) {
    INFO(bit);
    CHECK_FALSE(authentication::verify("key", flipped(sha256_challenge, bit), sha256_answer, true));
  }
  for (std::size_t bit = 0; bit != 8 * legacy_answer_to_sha256.size(); ++bit) {
    INFO(bit);
    CHECK_FALSE(authentication::verify("key", sha256_challenge,
                                       flipped(legacy_answer_to_sha256, bit), true));
  }
  for (std::size_t n = 0; n != sha256_answer.size(); ++n) {
    INFO(n);
    CHECK_FALSE(authentication::verify("key", sha256_challenge, sha256_answer.substr(0, n), true));
  }
}
