// The proof that the other side knows the key, without sending the key: the challenges and answers of
// CPython's Lib/multiprocessing/connection.py (deliver_challenge, answer_challenge), in the form of 3.12 and
// in the form before. No input or output here.
//
//   to 3.11    the challenge is 20 random bytes, the answer the 16 bytes of HMAC-MD5(key, challenge)
//   from 3.12  the challenge is `{sha256}` and 40 random bytes, the answer `{digest}` and
//              HMAC-digest(key, challenge with its prefix)
#pragma once

#include <belfry/error.hpp>

#include <string>
#include <string_view>

namespace belfry::detail::authentication {

/// The longest message of the handshake, with its prefix.
inline constexpr std::size_t max_message = 256;

inline constexpr std::string_view challenge_prefix = "#CHALLENGE#";
inline constexpr std::string_view welcome = "#WELCOME#";
inline constexpr std::string_view refusal = "#FAILURE#";

/// A new challenge (without challenge_prefix) in the form of 3.12, which older versions can also answer.
/// Throws std::system_error if the system has no random bytes.
std::string make_challenge();

/// The answer to a challenge (without challenge_prefix). `errc::protocol_error` for a malformed challenge,
/// `errc::authentication_failed` for a challenge that needs MD5 where MD5 is not allowed.
std::string answer(std::string_view key, std::string_view challenge, bool md5_allowed, failure& f);

/// The same for a message, which must be a challenge with its prefix.
std::string answer_message(std::string_view key, std::string_view message, bool md5_allowed,
                           failure& f);

/// Whether this answers the challenge. Takes equally long for right and wrong answers.
bool verify(std::string_view key, std::string_view challenge, std::string_view answer,
            bool md5_allowed);

}  // namespace belfry::detail::authentication
