// One end of a connection to or from a manager, without the socket: it says what to send and how many bytes
// to receive, and interprets them. The owner of the socket drives it:
//
//     for (;;) switch (c.next()) {
//       case step::send:     write all of c.output();  c.sent();      break;
//       case step::receive:  fill all of c.input();    c.received();  break;
//       case step::done:     return c.error();
//     }
//
// The framing is that of CPython's multiprocessing.connection: a length of four bytes, big-endian and
// signed, or -1 and one of eight, unsigned; then the message.
#pragma once

#include <belfry/error.hpp>

#include <array>
#include <cstddef>
#include <span>
#include <string>
#include <string_view>

namespace belfry::detail {

class conversation {
 public:
  enum class step { send, receive, done };

  conversation(const conversation&) = delete;
  conversation& operator=(const conversation&) = delete;

  step next() const noexcept { return step_; }
  std::string_view output() const noexcept { return output_; }
  void sent();
  std::span<char> input() noexcept;
  void received();
  /// The other side has closed the connection, or the driver gives up.
  void interrupted(failure f);
  const failure& error() const noexcept { return error_; }
  /// No byte of the next message has arrived.
  bool between_messages() const noexcept { return step_ == step::receive && part_ == part::length; }

 protected:
  conversation() = default;
  virtual ~conversation() = default;

  virtual void on_sent() = 0;
  virtual void on_message(std::string_view message) = 0;

  /// What to do next; must be the last call in the functions above.
  void send(std::string_view message);
  /// A longer message is a protocol error; no memory is allocated for it.
  void receive(std::size_t longest);
  void finish(failure f = {});
  void violation(const std::string& what);

 private:
  enum class part { length, long_length, message };
  void expect(part p, std::size_t bytes);

  step step_ = step::done;
  part part_ = part::length;
  std::size_t longest_ = 0;
  std::string output_;
  std::string input_;
  failure error_;
};

}  // namespace belfry::detail
