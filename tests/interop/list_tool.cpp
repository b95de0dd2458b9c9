// Lists and blocks for the interoperability tests: one command per line; each is answered by some lines.
//
//     create NAME N     and N lines with a value each    "ok"
//     print NAME                                         the number of values, and the values
//     set NAME I VALUE                                   "ok", or "error" and what is wrong
//     find NAME VALUE                                    how many equal it in Python, and the first or "none"
//     format NAME                                        what ShareableList.format would be
//     block NAME SIZE                                    "ok"
//     size NAME                                          a block's size
//     unlink NAME                                        "ok"
//
// A value is a letter and its contents: n; b with 0 or 1; i with the number; d with the bits of a float in
// hexadecimal; s (text) or y (bytes) with its bytes in hexadecimal.
#include <belfry/shareable_list.hpp>

#include <bit>
#include <cstdio>
#include <exception>
#include <iostream>
#include <sstream>
#include <string>
#include <vector>

namespace {

using value = belfry::shareable_list::value;

std::string from_hex(const std::string& hex) {
  std::string out;
  for (std::size_t i = 0; i + 1 < hex.size(); i += 2) {
    out += static_cast<char>(std::stoi(hex.substr(i, 2), nullptr, 16));
  }
  return out;
}

std::string to_hex(std::string_view raw) {
  std::string out;
  for (const char c : raw) {
    char two[3];
    std::snprintf(two, sizeof two, "%02x", static_cast<unsigned>(static_cast<unsigned char>(c)));
    out += two;
  }
  return out;
}

value parse(std::istream& in) {
  char type = 0;
  std::string rest;
  in >> type >> rest;
  switch (type) {
    case 'n': return nullptr;
    case 'b': return rest == "1";
    case 'i': return static_cast<std::int64_t>(std::stoll(rest));
    case 'd': return std::bit_cast<double>(static_cast<std::uint64_t>(std::stoull(rest, nullptr, 16)));
    case 's': return from_hex(rest);
    case 'y': return belfry::bytes(std::string_view(from_hex(rest)));
    default: throw std::runtime_error("no such type");
  }
}

struct printer {
  void operator()(std::nullptr_t) const { std::cout << "n"; }
  void operator()(bool b) const { std::cout << "b " << b; }
  void operator()(std::int64_t i) const { std::cout << "i " << i; }
  void operator()(double d) const {
    char bits[17];
    std::snprintf(bits, sizeof bits, "%016llx",
                  static_cast<unsigned long long>(std::bit_cast<std::uint64_t>(d)));
    std::cout << "d " << bits;
  }
  void operator()(const std::string& s) const { std::cout << "s " << to_hex(s); }
  void operator()(const belfry::bytes& b) const { std::cout << "y " << to_hex(b.view()); }
};

void obey(const std::string& line) {
  std::istringstream in(line);
  std::string command;
  std::string name;
  in >> command >> name;
  if (command == "create") {
    std::size_t n = 0;
    in >> n;
    std::vector<value> values;
    std::string text;
    for (; n != 0 && std::getline(std::cin, text); --n) {
      std::istringstream one(text);
      values.push_back(parse(one));
    }
    const belfry::shareable_list made(values, name);
    std::cout << "ok\n";
  } else if (command == "print") {
    const auto list = belfry::shareable_list::open(name, belfry::access::read_only);
    const auto values = list.to_vector();
    std::cout << values.size() << '\n';
    for (const value& v : values) {
      std::visit(printer(), v);
      std::cout << '\n';
    }
  } else if (command == "set") {
    std::size_t i = 0;
    in >> i;
    belfry::shareable_list::open(name).set(i, parse(in));
    std::cout << "ok\n";
  } else if (command == "find") {
    const auto list = belfry::shareable_list::open(name, belfry::access::read_only);
    const value wanted = parse(in);
    const std::size_t n = list.count(wanted, belfry::equality::python);
    std::cout << n << ' ';
    if (n == 0) {
      std::cout << "none\n";
    } else {
      std::cout << list.index(wanted, belfry::equality::python) << '\n';
    }
  } else if (command == "format") {
    std::cout << belfry::shareable_list::open(name, belfry::access::read_only).format() << '\n';
  } else if (command == "block") {
    std::size_t bytes = 0;
    in >> bytes;
    belfry::shared_memory::create(name, bytes);
    std::cout << "ok\n";
  } else if (command == "size") {
    std::cout << belfry::shared_memory::open(name).size() << '\n';
  } else if (command == "unlink") {
    belfry::shared_memory::unlink(name);
    std::cout << "ok\n";
  } else {
    throw std::runtime_error("no such command");
  }
}

}  // namespace

int main() {
  for (std::string line; std::getline(std::cin, line);) {
    try {
      obey(line);
    } catch (const std::exception& e) {
      std::cout << "error " << e.what() << '\n';
    }
    std::cout.flush();
  }
}
