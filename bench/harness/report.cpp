#include "report.hpp"

#include <cmath>
#include <cstdio>

namespace belfry::bench {
namespace {

std::string number(double value) {
  if (!std::isfinite(value)) return "null";
  char text[32];
  std::snprintf(text, sizeof text, std::fabs(value) >= 1000 ? "%.0f" : "%.4g", value);
  return text;
}

std::string quoted(const std::string& text) { return '"' + text + '"'; }

std::string value_of(const std::optional<figure>& f) { return f ? number(f->value) : "null"; }

/// Pairs of percentile and value.
std::string curve_of(const figure& f) {
  std::string points;
  for (std::size_t i = 0; i != percentiles.size() && f.curve[i] != 0; ++i) {
    points += (i == 0 ? "[" : ", [") + number(percentiles[i]) + ", " + number(f.curve[i]) + ']';
  }
  return '[' + points + ']';
}

/// Further values of a result.
constexpr std::pair<const char*, double figure::*> details[] = {
    {"p99", &figure::p99},
    {"p999", &figure::p999},
    {"cpu", &figure::cpu},
    {"wake-ups", &figure::wake_ups},
};
bool has_curve(const std::optional<figure>& f) { return f && f->curve[0] != 0; }

/// The same field of Belfry's and all peers' figures.
template <class Text>
std::string object_of(const result& r, Text text) {
  const auto text_of = [&](const std::optional<figure>& f) {
    return f ? text(*f) : std::string("null");
  };
  std::string object = "{\"belfry\": " + text_of(r.belfry);
  for (const auto& [name, f] : r.peers) object += ", " + quoted(name) + ": " + text_of(f);
  return object + '}';
}

bool more_is_better(const std::string& unit) { return unit.ends_with("/s"); }

}  // namespace

void report::add(const result& r) {
  if (json_) {
    print_json(r);
  } else {
    print_text(r);
  }
  std::fflush(stdout);
}

void report::print_json(const result& r) const {
  std::string line = "{\"case\": " + quoted(r.name) + ", \"unit\": " + quoted(r.unit);
  for (const auto& [key, value] : r.keys) {
    const int* const n = std::get_if<int>(&value);
    line += ", " + quoted(key) + ": " +
            (n != nullptr ? std::to_string(*n) : quoted(std::get<std::string>(value)));
  }
  line += ", \"belfry\": " + value_of(r.belfry) + ", \"peers\": {";
  for (const auto& [name, f] : r.peers) {
    line += (&name == &r.peers.front().first ? "" : ", ") + quoted(name) + ": " + value_of(f);
  }
  line += "}";
  for (const auto& [name, member] : details) {
    if (!r.belfry || (*r.belfry).*member == 0) continue;
    line += ", " + quoted(name) + ": " +
            object_of(r, [of = member](const figure& f) { return number(f.*of); });
  }
  if (has_curve(r.belfry)) line += ", \"curve\": " + object_of(r, curve_of);
  std::printf("%s}\n", line.c_str());
}

void report::print_text(const result& r) {
  if (std::exchange(last_case_, r.name) != r.name) {
    std::printf("\n%s, %s (%s is better)\n", r.name.c_str(), r.unit.c_str(),
                more_is_better(r.unit) ? "more" : "less");
  }
  std::string about;
  for (const auto& [key, value] : r.keys) {
    const int* const n = std::get_if<int>(&value);
    about += (about.empty() ? "" : ", ") +
             (n != nullptr ? key + ' ' + std::to_string(*n) : std::get<std::string>(value));
  }
  std::printf("  %-40s %12s", about.c_str(), value_of(r.belfry).c_str());
  for (const auto& [name, f] : r.peers) {
    std::printf("   ");
    if (r.belfry && f && f->value > 0) std::printf("%.3g x ", r.belfry->value / f->value);
    std::printf("%s (%s)", name.c_str(), value_of(f).c_str());
  }
  std::printf("\n");
  if (!has_curve(r.belfry)) return;
  for (const auto& [name, member] : details) {
    std::printf("    %-38s %12s", name, number((*r.belfry).*member).c_str());
    for (const auto& [peer, f] : r.peers) {
      if (f) std::printf("   %s (%s)", peer.c_str(), number((*f).*member).c_str());
    }
    std::printf("\n");
  }
}

}  // namespace belfry::bench
