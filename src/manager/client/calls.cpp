
#include "calls.hpp"

#include "../../platform/file.hpp"
#include "../../platform/program.hpp"
#include "../../platform/socket.hpp"
#include "requesting.hpp"

#include <algorithm>
#include <array>
#include <chrono>
#include <span>

namespace belfry::detail {
namespace {

// ---- connecting and starting ----------------------------------------------------------------------------

class connecting : public requesting<nothing> {
 public:
  using requesting::requesting;

 protected:
  std::optional<question> next() override {
    switch (client().kind()) {
      case server_kind::unknown: return ask("belfry");
      case server_kind::cpython:
        if (!greeted_) return ask("dummy");
        break;
      case server_kind::ours: break;
    }
    client().set_ready(true);
    return std::nullopt;
  }
  void answered(client_session& s) override {
    if (client().kind() == server_kind::unknown) {
      client().set_kind(s.refused() ? server_kind::cpython : server_kind::ours);
    } else {
      greeted_ = accept(s, "dummy");
    }
  }

 private:
  bool greeted_ = false;
};

class starting final : public connecting {
 public:
  using connecting::connecting;
  ~starting() override {
    // The start has failed, perhaps because the server does not answer; and this may be a reactor's thread.
    if (!client().ready()) client().bury(std::chrono::milliseconds(100));
  }

  manager_call::wait proceed() override {
    if (!client().lifeline() && !start()) return manager_call::wait::none;
    while (!address_known_) {
      std::array<char, 128> said;
      const platform::transferred got = platform::receive_some(client().lifeline(), said);
      if (got.would_block) return manager_call::wait::to_read;
      if (got.bytes == 0) {
        error_ = {std::make_error_code(std::errc::connection_reset),
                  "the server ended before it told its address: " + program_};
        return manager_call::wait::none;
      }
      line_.append(said.data(), got.bytes);
      if (!line_.ends_with('\n')) continue;  // the server prints nothing else
      line_.pop_back();
      client().at(manager_address::parse(line_, error_));
      if (error_) return manager_call::wait::none;
      address_known_ = true;
    }
    return connecting::proceed();
  }
  native_socket_type socket() const noexcept override {
    return address_known_ ? connecting::socket() : client().lifeline().get();
  }

 private:
  bool start() {
    if (!choose_address()) return false;
    program_ = platform::belfry_program();
    auto [ours, theirs] = platform::socket_pair(error_);
    if (error_) return false;
    auto [key, keyhole] = platform::socket_pair(error_);
    if (error_) return false;
    if (platform::send_some(key, client().key()).bytes != client().key().size()) {
      error_ = {std::make_error_code(std::errc::message_size), "the key is too long"};
      return false;
    }
    key.reset();
    const manager_options& options = client().options();
    std::vector<std::string> arguments{"serve", "--authkey-fd", "0", "--lifeline", "1"};
    const auto add = [&](const char* name, const std::string& value) {
      arguments.emplace_back(name);
      arguments.push_back(value);
    };
    add("--address", client().address().text());
    if (!options.run_directory.empty()) add("--run-directory", options.run_directory);
    if (options.remote) arguments.emplace_back("--remote");
    if (options.md5) arguments.emplace_back(*options.md5 ? "--md5" : "--no-md5");
    add("--connections", std::to_string(options.connections));
    add("--request-bytes", std::to_string(options.request_bytes));
    const auto timeout = std::chrono::ceil<std::chrono::milliseconds>(options.timeout);
    add("--timeout", std::to_string(timeout.count()));
    const std::array handles{keyhole.get(), theirs.get(), native_handle_type{2}};
    platform::child_process child = platform::start_program(program_, arguments, handles, error_);
    if (error_) return false;
    client().started(std::move(child), std::move(ours));
    return true;
  }

  /// So that what the server has made is found even if it is killed before it tells its address.
  bool choose_address() {
    if (!client().address().name.empty()) return true;
    const std::string& wanted = client().options().run_directory;
    const std::string directory = wanted.empty() ? platform::run_directory(error_) : wanted;
    if (error_) return false;
    const manager_address address = manager_address::unused(directory, error_);
    if (error_) return false;
    client().at(address);
    return true;
  }

  std::string program_;
  std::string line_;
  bool address_known_ = false;
};

// ---- plain requests -------------------------------------------------------------------------------------

class releasing final : public requesting<nothing> {
 public:
  releasing(client_ptr client, std::string_view name)
      : requesting(std::move(client)), name_(name) {}

 private:
  std::optional<question> next() override {
    if (std::exchange(asked_, true)) return std::nullopt;
    return ask("release_segment", name_);
  }
  void answered(client_session& s) override { accept(s, "release_segment"); }

  std::string name_;
  bool asked_ = false;
};

class listing final : public requesting<std::vector<std::string>> {
 public:
  using requesting::requesting;

 private:
  std::optional<question> next() override {
    if (std::exchange(asked_, true)) return std::nullopt;
    return ask("list_segments");
  }
  void answered(client_session& s) override {
    if (!accept(s, "list_segments")) return;
    auto* const names = std::get_if<pickle::list>(&s.result());
    const bool all_text = names != nullptr &&
                          std::all_of(names->items.begin(), names->items.end(), [](const auto& n) {
                            return std::holds_alternative<std::string>(n);
                          });
    if (!all_text) {
      error_ = {make_error_code(errc::protocol_error), "list_segments: the reply is not a list of names"};
      return;
    }
    for (pickle::value& name : names->items)
      result_.push_back(std::move(std::get<std::string>(name)));
  }

  bool asked_ = false;
};

/// CPython's server stops at the first block that another process has removed, and forgets that block. So
/// shutdown is requested again, as long as it forgets blocks.
class shutting_down final : public requesting<nothing> {
 public:
  using requesting::requesting;

  manager_call::wait proceed() override {
    const manager_call::wait until = requesting::proceed();
    if (until != manager_call::wait::none || !client().owns_server()) {
      if (until == manager_call::wait::none && !error_) client().set_ready(false);
      return until;
    }
    // Our own server: when it exits, its end of the lifeline is closed.
    char c;
    const platform::transferred got = platform::receive_some(client().lifeline(), std::span(&c, 1));
    if (got.would_block && !error_) {
      ending_ = true;
      return manager_call::wait::to_read;
    }
    error_ = {};  // the server has ended, whatever the error was
    client().bury();
    return manager_call::wait::none;
  }
  native_socket_type socket() const noexcept override {
    return ending_ ? client().lifeline().get() : requesting::socket();
  }

 private:
  std::optional<question> next() override {
    switch (std::exchange(asked_, asked::nothing)) {
      case asked::not_yet: asked_ = asked::shutdown; return ask("shutdown");
      case asked::list: asked_ = asked::list; return ask("list_segments");
      case asked::shutdown:
      case asked::nothing: break;
    }
    return std::nullopt;
  }
  void answered(client_session& s) override {
    if (asked_ == asked::list) {
      const auto* const names = std::get_if<pickle::list>(&s.result());
      const std::size_t left = names != nullptr ? names->items.size() : 0;
      if (s.refused() || names == nullptr || left >= std::exchange(blocks_left_, left)) {
        error_ = std::move(refusal_);
      } else {
        asked_ = asked::not_yet;
      }
      return;
    }
    asked_ = asked::nothing;
    if (!s.refused()) return;
    refusal_ = refused("shutdown", s.refusal());
    if (client().kind() == server_kind::cpython)
      asked_ = asked::list;
    else
      error_ = std::move(refusal_);
  }

  enum class asked { not_yet, shutdown, list, nothing } asked_ = asked::not_yet;
  failure refusal_;
  std::size_t blocks_left_ = ~std::size_t{0};
  bool ending_ = false;
};

}  // namespace

call_ptr<nothing> start_call(client_ptr client) {
  return std::make_unique<starting>(std::move(client));
}

call_ptr<nothing> connect_call(client_ptr client) {
  return std::make_unique<connecting>(std::move(client));
}

call_ptr<nothing> release_call(client_ptr client, std::string_view name) {
  return std::make_unique<releasing>(std::move(client), name);
}

call_ptr<nothing> shutdown_call(client_ptr client) {
  return std::make_unique<shutting_down>(std::move(client));
}

call_ptr<std::vector<std::string>> list_call(client_ptr client) {
  return std::make_unique<listing>(std::move(client));
}

}  // namespace belfry::detail
