// A client of managers for managing.py: one command per line; each is answered by a line. With the argument
// `async` it uses the asynchronous forms.
//
//     connect ADDRESS KEY [md5 | no-md5]     "ok"; the key in hexadecimal, "-" if it is empty
//     start DIRECTORY [ADDRESS KEY]          "ok"; where the server keeps its record
//     address                                where others connect
//     key                                    and with what
//     block SIZE [NAME]                      the name of a new block
//     list VALUE...                          the name of a new list
//     segments                               the names, in order
//     release NAME                           "ok"
//     shutdown                               "ok"
//     drop                                   "ok", when the manager is destroyed
//     peek NAME I                            the block's byte I
//     poke NAME I BYTE                       "ok"
//     values NAME                            the list's values
//     set NAME I VALUE                       "ok"
//
// A value is a number or a word. What goes wrong is "error", the error's category, and its message.
#include <belfry/shared_memory_manager.hpp>

#if defined(BELFRY_BOOST_ASIO)
#include <boost/asio/io_context.hpp>
#else
#include <asio/io_context.hpp>
#endif

#include <charconv>
#include <exception>
#include <iostream>
#include <sstream>
#include <stdexcept>
#include <string>
#include <system_error>
#include <utility>
#include <vector>

namespace {

namespace net = belfry::net;
using value = belfry::shareable_list::value;

std::string from_hex(const std::string& hex) {
  std::string out;
  if (hex == "-") return out;
  for (std::size_t i = 0; i + 1 < hex.size(); i += 2) {
    out += static_cast<char>(std::stoi(hex.substr(i, 2), nullptr, 16));
  }
  return out;
}

std::string to_hex(std::string_view raw) {
  std::string out;
  for (const char c : raw) {
    out += "0123456789abcdef"[c >> 4 & 15];
    out += "0123456789abcdef"[c & 15];
  }
  return out.empty() ? "-" : out;
}

value parse(const std::string& word) {
  std::int64_t number = 0;
  const auto [end, error] = std::from_chars(word.data(), word.data() + word.size(), number);
  if (error == std::errc() && end == word.data() + word.size()) return number;
  return word;
}

std::string text(const value& v) {
  if (const auto* const number = std::get_if<std::int64_t>(&v)) return std::to_string(*number);
  if (const auto* const word = std::get_if<std::string>(&v)) return *word;
  return "something else";
}

std::string joined(const std::vector<std::string>& words) {
  std::string line;
  for (const std::string& word : words) line += (line.empty() ? "" : " ") + word;
  return line;
}

template <class Next>
auto rest(std::istream& in, Next next) {
  std::vector<decltype(next(std::string()))> all;
  for (std::string word; in >> word;) all.push_back(next(word));
  return all;
}

class client {
 public:
  explicit client(bool async) : async_(async) {}

  std::string obey(const std::string& line) {
    std::istringstream in(line);
    std::string command;
    std::string name;
    std::size_t i = 0;
    in >> command;
    if (command == "connect") {
      connect(in);
    } else if (command == "start") {
      start(in);
    } else if (command == "address") {
      return manager_.address();
    } else if (command == "key") {
      return to_hex(manager_.authkey());
    } else if (command == "block") {
      in >> i >> name;
      return make_block(i, name);
    } else if (command == "list") {
      return make_list(rest(in, parse));
    } else if (command == "segments") {
      return joined(segments());
    } else if (command == "release") {
      in >> name;
      async_ ? finish([&](auto done) { manager_.async_release(name, done); })
             : manager_.release(name);
    } else if (command == "shutdown") {
      async_ ? finish([&](auto done) { manager_.async_shutdown(done); }) : manager_.shutdown();
    } else if (command == "drop") {
      manager_ = belfry::shared_memory_manager(io_);
    } else if (command == "peek") {
      in >> name >> i;
      return std::to_string(std::to_integer<int>(belfry::shared_memory::open(name).buf()[i]));
    } else if (command == "poke") {
      int byte = 0;
      in >> name >> i >> byte;
      belfry::shared_memory::open(name).buf()[i] = static_cast<std::byte>(byte);
    } else if (command == "values") {
      in >> name;
      std::vector<std::string> words;
      for (const value& v : belfry::shareable_list::open(name).to_vector()) {
        words.push_back(text(v));
      }
      return joined(words);
    } else if (command == "set") {
      std::string word;
      in >> name >> i >> word;
      belfry::shareable_list::open(name).set(i, parse(word));
    } else {
      throw std::runtime_error("no such command");
    }
    return "ok";
  }

 private:
  void connect(std::istream& in) {
    std::string address;
    std::string key;
    std::string md5;
    in >> address >> key >> md5;
    belfry::manager_options options;
    if (!md5.empty()) options.md5 = md5 == "md5";
    manager_ = belfry::shared_memory_manager(io_);
    if (async_) {
      finish([&](auto done) { manager_.async_connect(address, from_hex(key), options, done); });
    } else {
      manager_ = belfry::shared_memory_manager::connect(address, from_hex(key), options);
    }
  }

  void start(std::istream& in) {
    belfry::manager_options options;
    std::string address;
    std::string key;
    in >> options.run_directory;
    const bool chosen = static_cast<bool>(in >> address >> key);
    manager_ = belfry::shared_memory_manager(io_);
    if (async_) {
      finish([&](auto done) {
        manager_.async_start(address, chosen ? from_hex(key) : "some key", options, done);
      });
    } else if (chosen) {
      manager_.start(address, from_hex(key), options);
    } else {
      manager_.start(options);
    }
  }

  std::string make_block(std::size_t size, const std::string& name) {
    if (!async_) return manager_.shared_memory(size, name).name();
    return finish([&](auto done) { manager_.async_shared_memory(size, name, done); },
                  belfry::shared_memory())
        .name();
  }

  std::string make_list(const std::vector<value>& values) {
    if (!async_) return manager_.shareable_list(values).shm().name();
    return finish([&](auto done) { manager_.async_shareable_list(values, done); },
                  belfry::shareable_list())
        .shm()
        .name();
  }

  std::vector<std::string> segments() {
    if (!async_) return manager_.list_segments();
    return finish([&](auto done) { manager_.async_list_segments(done); },
                  std::vector<std::string>());
  }

  /// Runs the context until one operation has completed.
  template <class Initiate, class Result>
  Result finish(Initiate initiate, Result result) {
    bool done = false;
    initiate([&](const belfry::error_code& ec, Result r) {
      if (ec) throw std::system_error(std::error_code(ec));
      result = std::move(r);
      done = true;
    });
    run();
    if (!done) throw std::runtime_error("the operation has not completed");
    return result;
  }
  template <class Initiate>
  void finish(Initiate initiate) {
    bool done = false;
    initiate([&](const belfry::error_code& ec) {
      if (ec) throw std::system_error(std::error_code(ec));
      done = true;
    });
    run();
    if (!done) throw std::runtime_error("the operation has not completed");
  }

  void run() {
    io_.restart();
    io_.run();
  }

  const bool async_;
  net::io_context io_;
  belfry::shared_memory_manager manager_{io_};
};

std::string told(const std::error_code& ec) {
  const std::error_condition meant = ec.default_error_condition();
  return std::string("error ") + meant.category().name() + ' ' + meant.message();
}

}  // namespace

int main(int argc, char**) {
  client c(argc > 1);
  for (std::string line; std::getline(std::cin, line);) {
    std::string answer;
    try {
      answer = c.obey(line);
    } catch (const std::system_error& e) {
      answer = told(e.code());
    } catch (const std::exception& e) {
      answer = std::string("error ") + e.what();
    }
    std::cout << answer << std::endl;
  }
}
