#include "config.hpp"

#include <cerrno>
#include <charconv>
#include <fstream>
#include <functional>
#include <iterator>
#include <map>
#include <nlohmann/json.hpp>
#include <stdexcept>
#include <system_error>

namespace belfry::bridge_program {
namespace {

using json = nlohmann::json;

[[noreturn]] void refuse(const std::string& at, const std::string& why) {
  throw std::invalid_argument((at.empty() ? std::string("the file") : at) + ": " + why);
}

std::string text(const json& value, const std::string& at) {
  if (!value.is_string()) refuse(at, "is not a text");
  return value.get<std::string>();
}
bool flag(const json& value, const std::string& at) {
  if (!value.is_boolean()) refuse(at, "is neither true nor false");
  return value.get<bool>();
}
std::int64_t number(const json& value, const std::string& at, std::int64_t least, std::int64_t most) {
  if (!value.is_number_integer()) refuse(at, "is not a whole number");
  const bool fits = !value.is_number_unsigned() || value.get<std::uint64_t>() <= INT64_MAX;
  if (!fits || value.get<std::int64_t>() < least || value.get<std::int64_t>() > most)
    refuse(at, value.dump() + " is not between " + std::to_string(least) + " and " + std::to_string(most));
  return value.get<std::int64_t>();
}
std::chrono::nanoseconds seconds(const json& value, const std::string& at) {
  if (!value.is_number() || value.get<double>() < 0 || value.get<double>() > 1e9) refuse(at, "is not a number of seconds");
  return std::chrono::duration_cast<std::chrono::nanoseconds>(std::chrono::duration<double>(value.get<double>()));
}

using readers = std::map<std::string, std::function<void(const json&, const std::string&)>, std::less<>>;

void read_object(const json& from, const std::string& at, const readers& known,
                 std::initializer_list<const char*> required = {}) {
  if (!from.is_object()) refuse(at, "is not an object");
  for (const auto& [key, value] : from.items()) {
    const std::string place = at.empty() ? key : at + '.' + key;
    const auto found = known.find(key);
    if (found == known.end()) {
      std::string all;
      for (const auto& [name, reader] : known) all += (all.empty() ? "" : ", ") + name;
      refuse(place, "is not known; known are " + all);
    }
    found->second(value, place);
  }
  for (const char* const key : required)
    if (!from.contains(key)) refuse(at + '.' + key, "is missing");
}

auto into(std::string& to) {
  return [&to](const json& v, const std::string& at) { to = text(v, at); };
}
auto into(bool& to) {
  return [&to](const json& v, const std::string& at) { to = flag(v, at); };
}

void read_export(const json& from, const std::string& at, configuration::exported& e) {
  nats_export_options& o = e.options;
  constexpr std::int64_t large = INT64_MAX;
  read_object(from, at,
              {{"channel", into(e.channel)},
               {"subject", into(e.subject)},
               {"stream", into(o.stream)},
               {"create", into(o.create)},
               {"keep", into(o.keep)},
               {"split", into(o.split)},
               {"memory", into(o.memory)},
               {"mode", [&](const json& v, const std::string& a) { o.mode = parse_mode(text(v, a)); }},
               {"replicas", [&](const json& v, const std::string& a) { o.replicas = static_cast<unsigned>(number(v, a, 1, 5)); }},
               {"max_bytes", [&](const json& v, const std::string& a) { o.max_bytes = number(v, a, -1, large); }},
               {"max_messages", [&](const json& v, const std::string& a) { o.max_messages = number(v, a, -1, large); }},
               {"max_age", [&](const json& v, const std::string& a) { o.max_age = seconds(v, a); }},
               {"duplicate_window", [&](const json& v, const std::string& a) { o.duplicate_window = seconds(v, a); }},
               {"outstanding_messages",
                [&](const json& v, const std::string& a) { o.outstanding_messages = static_cast<std::size_t>(number(v, a, 1, 1 << 20)); }},
               {"outstanding_bytes",
                [&](const json& v, const std::string& a) { o.outstanding_bytes = static_cast<std::size_t>(number(v, a, 1, 1 << 30)); }}},
              {"channel", "subject"});
}

void read_import(const json& from, const std::string& at, configuration::imported& i) {
  nats_import_options& o = i.options;
  read_object(from, at,
              {{"channel", into(i.channel)},
               {"subject", into(i.subject)},
               {"durable", into(o.durable)},
               {"oldest", into(o.oldest)},
               {"mode", [&](const json& v, const std::string& a) { o.mode = parse_mode(text(v, a)); }},
               {"batch", [&](const json& v, const std::string& a) { o.batch = static_cast<std::size_t>(number(v, a, 8, 1 << 16)); }},
               {"ack_wait", [&](const json& v, const std::string& a) { o.ack_wait = seconds(v, a); }}},
              {"channel", "subject"});
}

template <class Item, class Read>
auto list_of(std::vector<Item>& items, Read read) {
  return [&items, read](const json& from, const std::string& at) {
    if (!from.is_array()) refuse(at, "is not a list");
    for (std::size_t n = 0; n != from.size(); ++n) read(from[n], at + '[' + std::to_string(n) + ']', items.emplace_back());
  };
}

}  // namespace

unsigned parse_mode(const std::string& octal) {
  unsigned mode = 0;
  const auto [end, ec] = std::from_chars(octal.data(), octal.data() + octal.size(), mode, 8);
  if (ec != std::errc() || end != octal.data() + octal.size() || mode > 0777)
    throw std::invalid_argument("the mode \"" + octal + "\" is not of the form 0660");
  return mode;
}

std::string first_line(const std::string& path) {
  std::ifstream in(path);
  std::string line;
  if (!in || !std::getline(in, line)) throw std::system_error(errno != 0 ? errno : EIO, std::generic_category(), path);
  return line;
}

void read_text(std::string_view document, configuration& c) {
  json all;
  try {
    all = json::parse(document);
  } catch (const json::parse_error& e) {
    throw std::invalid_argument(e.what());
  }
  nats_options& o = c.server;
  std::vector<std::string> servers;
  read_object(all, "",
              {{"servers", list_of(servers, [](const json& v, const std::string& at, std::string& to) { to = text(v, at); })},
               {"client_name", into(o.client_name)},
               {"user", into(o.user)},
               {"password_file", [&](const json& v, const std::string& at) { o.password = first_line(text(v, at)); }},
               {"token_file", [&](const json& v, const std::string& at) { o.token = first_line(text(v, at)); }},
               {"credentials", into(o.credentials)},
               {"nkey", into(o.nkey)},
               {"nkey_seed", into(o.nkey_seed)},
               {"tls",
                [&](const json& v, const std::string& at) {
                  o.tls = true;
                  read_object(v, at, {{"ca", into(o.tls_ca)},
                                      {"certificate", into(o.tls_certificate)},
                                      {"key", into(o.tls_key)},
                                      {"host", into(o.tls_host)}});
                }},
               {"exports", list_of(c.exports, read_export)},
               {"imports", list_of(c.imports, read_import)}});
  if (!servers.empty()) {
    o.servers = std::move(servers);
    c.has_servers = true;
  }
}

void read_file(const std::string& path, configuration& c) {
  std::ifstream in(path, std::ios::binary);
  if (!in) throw std::system_error(errno, std::generic_category(), path);
  const std::string document{std::istreambuf_iterator<char>(in), {}};
  try {
    read_text(document, c);
  } catch (const std::invalid_argument& e) {
    throw std::invalid_argument(path + ": " + e.what());
  }
}

}  // namespace belfry::bridge_program
