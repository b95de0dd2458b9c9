// How results are printed: as JSON, an object per line, or for people.
#pragma once

#include "contender.hpp"

#include <optional>
#include <string>
#include <utility>
#include <variant>
#include <vector>

namespace belfry::bench {

struct result {
  std::string name;  // name of the case
  std::string unit;  // us, ns, ratio: less is better; msg/s: more
  /// What this line is about, if the case has several. Strings must not contain quotes and backslashes.
  std::vector<std::pair<std::string, std::variant<int, std::string>>> keys;
  std::optional<figure> belfry;
  std::vector<std::pair<std::string, std::optional<figure>>> peers;
};

class report {
 public:
  explicit report(bool json) : json_(json) {}
  void add(const result& r);

 private:
  void print_json(const result& r) const;
  void print_text(const result& r);

  bool json_;
  std::string last_case_;
};

}  // namespace belfry::bench
