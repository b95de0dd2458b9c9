
#include "conversation.hpp"

#include <cstdint>
#include <limits>
#include <utility>

namespace belfry::detail {
namespace {

std::uint64_t big_endian(std::string_view bytes) {
  std::uint64_t value = 0;
  for (const char c : bytes) value = value << 8 | static_cast<unsigned char>(c);
  return value;
}

void append_big_endian(std::string& out, std::uint64_t value, int bytes) {
  for (int i = bytes - 1; i >= 0; --i) out += static_cast<char>(value >> (8 * i) & 0xff);
}

constexpr std::uint64_t long_mark = 0xffffffff;  // -1

}  // namespace

void conversation::sent() {
  output_.clear();
  on_sent();
}

std::span<char> conversation::input() noexcept { return input_; }

void conversation::received() {
  switch (part_) {
    case part::length:
    case part::long_length: {
      const std::uint64_t length = big_endian(input_);
      if (part_ == part::length && length == long_mark) return expect(part::long_length, 8);
      const bool negative =
          part_ == part::length && length > std::numeric_limits<std::int32_t>::max();
      if (negative) return violation("a message of negative length");
      if (length > longest_) {
        return violation("a message of " + std::to_string(length) + " bytes; the longest allowed has " +
                         std::to_string(longest_));
      }
      if (length != 0) return expect(part::message, static_cast<std::size_t>(length));
      return on_message({});
    }
    case part::message: {
      const std::string message = std::exchange(input_, {});
      return on_message(message);
    }
  }
}

void conversation::interrupted(failure f) { finish(std::move(f)); }

void conversation::send(std::string_view message) {
  constexpr std::size_t longest = std::numeric_limits<std::int32_t>::max();
  if (message.size() > longest) return violation("a message that is too long to send");
  output_.clear();
  append_big_endian(output_, message.size(), 4);
  output_ += message;
  step_ = step::send;
}

void conversation::receive(std::size_t longest) {
  longest_ = longest;
  step_ = step::receive;
  expect(part::length, 4);
}

void conversation::expect(part p, std::size_t bytes) {
  part_ = p;
  input_.assign(bytes, '\0');
}

void conversation::finish(failure f) {
  error_ = std::move(f);
  step_ = step::done;
}

void conversation::violation(const std::string& what) {
  finish({make_error_code(errc::protocol_error), what});
}

}  // namespace belfry::detail
