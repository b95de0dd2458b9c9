// `belfry-bridge`: channels of this machine go on on others, over NATS.
#include "../net.hpp"
#include "config.hpp"

#include <belfry/nats_bridge.hpp>

#include <CLI/CLI.hpp>
#include <algorithm>
#include <chrono>
#include <csignal>
#include <exception>
#include <iostream>
#include <nlohmann/json.hpp>
#include <string>

#include <unistd.h>

#if defined(BELFRY_BOOST_ASIO)
#include <boost/asio/signal_set.hpp>
#else
#include <asio/signal_set.hpp>
#endif

namespace belfry::bridge_program {
namespace {

struct arguments {
  configuration what;
  std::vector<std::string> servers;
  std::vector<std::string> exports;
  std::vector<std::string> imports;
  std::string file;
  std::string password_file;
  std::string token_file;
  std::string mode = "0600";
  nats_export_options exporting;
  nats_import_options importing;
  double ack_wait = 30;
  double reconnect_wait = 1;
  double ping_interval = 1;
  double drain = 10;
  bool json = false;
  bool quiet = false;
};

std::pair<std::string, std::string> split(const std::string& option, const std::string& pair, const char* form) {
  const std::size_t at = pair.find('=');
  if (at == std::string::npos || at == 0 || at + 1 == pair.size())
    throw std::invalid_argument(option + ' ' + pair + ": is not of the form " + form);
  return {pair.substr(0, at), pair.substr(at + 1)};
}

std::chrono::nanoseconds nanoseconds(double seconds) {
  return std::chrono::duration_cast<std::chrono::nanoseconds>(std::chrono::duration<double>(std::min(seconds, 1e9)));
}

void complete(arguments& a) {
  if (!a.file.empty()) read_file(a.file, a.what);
  if (!a.servers.empty()) a.what.server.servers = a.servers;
  if (!a.password_file.empty()) a.what.server.password = first_line(a.password_file);
  if (!a.token_file.empty()) a.what.server.token = first_line(a.token_file);
  a.what.server.reconnect_wait = std::chrono::duration_cast<std::chrono::milliseconds>(nanoseconds(a.reconnect_wait));
  a.what.server.ping_interval = std::chrono::duration_cast<std::chrono::milliseconds>(nanoseconds(a.ping_interval));
  a.importing.ack_wait = nanoseconds(a.ack_wait);
  a.exporting.mode = a.importing.mode = parse_mode(a.mode);
  for (const std::string& pair : a.exports) {
    const auto [channel, subject] = split("--export", pair, "NAME=SUBJECT");
    a.what.exports.push_back({channel, subject, a.exporting});
  }
  for (const std::string& pair : a.imports) {
    const auto [subject, channel] = split("--import", pair, "SUBJECT=NAME");
    a.what.imports.push_back({subject, channel, a.importing});
  }
  if (a.what.exports.empty() && a.what.imports.empty())
    throw std::invalid_argument("nothing to do: --export, --import or --config is needed");
}

const char* name_of(nats_event::kind kind) {
  switch (kind) {
    case nats_event::kind::connected: return "connected";
    case nats_event::kind::disconnected: return "disconnected";
    case nats_event::kind::refused: return "refused";
    case nats_event::kind::waiting: return "waiting";
    case nats_event::kind::running: return "running";
    case nats_event::kind::full: return "full";
    case nats_event::kind::peer: return "peer";
    case nats_event::kind::gap: return "gap";
    case nats_event::kind::lost: return "lost";
    case nats_event::kind::failed: return "failed";
    case nats_event::kind::drained: return "drained";
  }
  return "unknown";
}

class program {
 public:
  explicit program(const arguments& a)
      : arguments_(a), signals_(io_, SIGINT, SIGTERM), ticks_(io_), bridge_(io_, a.what.server) {
    terminal_ = ::isatty(STDOUT_FILENO) != 0 && !a.json && !a.quiet;
  }

  int run() {
    bridge_.on_event([this](const nats_event& e) { tell(e); });
    for (const auto& e : arguments_.what.exports) bridge_.export_channel(e.channel, e.subject, e.options);
    for (const auto& i : arguments_.what.imports) bridge_.import_channel(i.subject, i.channel, i.options);
    signals_.async_wait([this](const error_code& ec, int) {
      if (ec) return;
      signals_.clear();  // the next one kills
      bridge_.stop(nanoseconds(arguments_.drain));
    });
    bridge_.async_wait([this](error_code ec) {
      failed_ = failed_ || ec;
      signals_.cancel();
      ticks_.cancel();
    });
    if (terminal_ || arguments_.json) tick();
    io_.run();
    if (terminal_) std::cout << '\n';
    return failed_ ? 1 : 0;
  }

 private:
  void tell(const nats_event& e) {
    failed_ = failed_ || e.what == nats_event::kind::failed;
    if (arguments_.json) {
      nlohmann::ordered_json line{{"event", name_of(e.what)}};
      if (!e.channel.empty()) {
        line["channel"] = e.channel;
        line["subject"] = e.subject;
        line["direction"] = e.exports ? "export" : "import";
      }
      line["text"] = e.text;
      std::cout << line.dump(-1, ' ', false, nlohmann::json::error_handler_t::replace) << '\n' << std::flush;
      return;
    }
    if (arguments_.quiet && e.what != nats_event::kind::failed && e.what != nats_event::kind::refused) return;
    std::cerr << (terminal_ ? "\r\033[K" : "") << "belfry bridge: ";
    if (!e.channel.empty()) std::cerr << (e.exports ? e.channel + " > " + e.subject : e.subject + " > " + e.channel) << ": ";
    std::cerr << name_of(e.what) << (e.text.empty() ? "" : ": ") << e.text << '\n';
  }

  /// A line of statistics.
  void tick() {
    ticks_.expires_after(std::chrono::seconds(1));
    ticks_.async_wait([this](const error_code& ec) {
      if (ec) return;
      report();
      tick();
    });
  }
  void report() {
    nats_statistics all;
    std::uint64_t running = 0;
    const auto links = bridge_.statistics();
    for (const nats_statistics& s : links) {
      if (arguments_.json) {
        const nlohmann::ordered_json line{{"statistics", s.channel},    {"subject", s.subject},
                                          {"direction", s.exports ? "export" : "import"},
                                          {"ring", s.ring},             {"state", s.state},
                                          {"messages", s.messages},     {"bytes", s.bytes},
                                          {"outstanding", s.outstanding}, {"repeated", s.repeated},
                                          {"duplicates", s.duplicates}, {"missing", s.missing},
                                          {"lost", s.lost}};
        std::cout << line.dump(-1, ' ', false, nlohmann::json::error_handler_t::replace) << '\n';
      }
      running += s.state == "running";
      all.messages += s.messages;
      all.bytes += s.bytes;
      all.outstanding += s.outstanding;
    }
    if (!arguments_.json)
      std::cout << "\r\033[K" << running << " of " << links.size() << " running, " << all.messages - last_.messages
                << " messages/s, " << (all.bytes - last_.bytes) / 1000 << " kB/s, " << all.outstanding << " on their way";
    std::cout << std::flush;
    last_ = all;
  }

  const arguments& arguments_;
  net::io_context io_{1};
  net::signal_set signals_;
  net::steady_timer ticks_;
  nats_bridge bridge_;
  nats_statistics last_;
  bool terminal_ = false;
  bool failed_ = false;
};

}  // namespace
}  // namespace belfry::bridge_program

int main(int argc, char** argv) try {
  using namespace belfry::bridge_program;
  std::signal(SIGPIPE, SIG_IGN);
  arguments a;
  CLI::App app("Tie channels of this machine to subjects of a NATS server, and so to channels of other machines; until "
               "Ctrl-C or SIGTERM, which lets everything that is on its way arrive", "belfry bridge");
  auto& o = a.what.server;
  app.add_option("--server", a.servers, "Address of a server; several for a cluster. Default: nats://127.0.0.1:4222")
      ->type_name("nats://HOST:PORT");
  app.add_option("--export", a.exports, "A channel, and the subject that its values, or calls, go to")
      ->type_name("NAME=SUBJECT");
  app.add_option("--import", a.imports, "A subject that is exported elsewhere, and the channel that they go to")
      ->type_name("SUBJECT=NAME");
  app.add_option("--config", a.file, "A file with all of this, JSON")->type_name("FILE");
  app.add_option("--user", o.user);
  app.add_option("--password-file", a.password_file)->type_name("FILE");
  app.add_option("--token-file", a.token_file)->type_name("FILE");
  app.add_option("--creds", o.credentials, "A user's credentials: JWT and NKey")->type_name("FILE");
  app.add_option("--nkey", o.nkey, "The public key of --nkey-seed")->type_name("KEY");
  app.add_option("--nkey-seed", o.nkey_seed)->type_name("FILE");
  app.add_flag("--tls", o.tls, "Refuse servers without TLS");
  app.add_option("--tls-ca", o.tls_ca)->type_name("FILE");
  app.add_option("--tls-cert", o.tls_certificate)->type_name("FILE");
  app.add_option("--tls-key", o.tls_key)->type_name("FILE");
  app.add_option("--tls-host", o.tls_host, "The name in the server's certificate")->type_name("NAME");
  app.add_option("--client-name", o.client_name, "As the server lists it");
  app.add_option("--reconnect-wait", a.reconnect_wait, "Between attempts to connect; default: 1")
      ->type_name("SECONDS")
      ->check(CLI::NonNegativeNumber);
  app.add_option("--ping-interval", a.ping_interval, "After three without an answer the server counts as lost; default: 1")
      ->type_name("SECONDS")
      ->check(CLI::PositiveNumber);
  app.add_option("--stream", a.exporting.stream, "Of --export: the stream; default: the subject with - for each dot");
  app.add_flag("--keep", a.exporting.keep, "Of --export: keep a broadcast in a stream");
  app.add_flag("--split", a.exporting.split, "Of --export: send a message that is larger than the server takes in parts");
  app.add_flag("--memory", a.exporting.memory, "Of --export: a stream in the server's memory");
  app.add_option("--replicas", a.exporting.replicas, "Of --export")->check(CLI::Range(1, 5));
  app.add_option("--max-bytes", a.exporting.max_bytes, "Of --export: of the stream");
  app.add_option("--max-messages", a.exporting.max_messages, "Of --export: of the stream");
  app.add_flag("--no-create{false}", a.exporting.create, "Of --export: the stream has to be there");
  app.add_option("--durable", a.importing.durable, "Of --import: name of the consumer; default: belfry");
  app.add_option("--ack-wait", a.ack_wait,
                 "Of --import, work: after so long without a sign of life the server gives it to another machine; default: 30")
      ->type_name("SECONDS")
      ->check(CLI::PositiveNumber);
  app.add_flag("--oldest", a.importing.oldest, "Of --import: of a broadcast that is kept, begin with the oldest message");
  app.add_option("--mode", a.mode, "Permission bits of channels, as in `belfry ls`; default: 0600");
  app.add_option("--drain", a.drain, "After Ctrl-C: how long to wait for what is on its way; default: 10")
      ->type_name("SECONDS")
      ->check(CLI::NonNegativeNumber);
  app.add_flag("--json", a.json, "Tell events and statistics as JSON, one object a line");
  app.add_flag("--quiet", a.quiet, "Tell errors only");
  app.set_version_flag("--version", "belfry " BELFRY_VERSION);
  try {
    app.parse(argc, argv);
  } catch (const CLI::ParseError& e) {
    return app.exit(e) == 0 ? 0 : 2;
  }
  try {
    complete(a);
    return program(a).run();
  } catch (const std::invalid_argument& e) {
    std::cerr << "belfry bridge: " << e.what() << '\n';
    return 2;
  } catch (const std::system_error& e) {
    std::cerr << "belfry bridge: " << e.what() << '\n';
    return e.code() == std::errc::invalid_argument ? 2 : 1;
  }
} catch (const std::exception& e) {
  std::cerr << "belfry bridge: " << e.what() << '\n';
  return 1;
}
