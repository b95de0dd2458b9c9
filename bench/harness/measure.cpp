#include "measure.hpp"

#include "process_pair.hpp"

#include <algorithm>
#include <cstdio>
#include <exception>

namespace belfry::bench {
namespace {

double median(std::vector<double> values) {
  const auto middle = values.begin() + static_cast<std::ptrdiff_t>(values.size() / 2);
  std::nth_element(values.begin(), middle, values.end());
  return *middle;
}

/// What is known about an entrant so far.
struct record {
  const entrant* who;
  std::uint64_t operations;
  bool works = true;
  std::vector<figure> figures;

  std::optional<figure> summary() const {
    if (!works || figures.empty()) return {};
    const auto of = [this](auto member) {
      std::vector<double> values;
      for (const figure& f : figures) values.push_back(member(f));
      return median(std::move(values));
    };
    figure all;
    for (double figure::*const member :
         {&figure::value, &figure::p99, &figure::p999, &figure::cpu, &figure::wake_ups}) {
      all.*member = of([&](const figure& f) { return f.*member; });
    }
    for (std::size_t i = 0; i != all.curve.size(); ++i) {
      all.curve[i] = of([&](const figure& f) { return f.curve[i]; });
    }
    return all;
  }
};

/// The contender of a new round, or of all rounds; none if it cannot be made, and then the entrant is out.
std::unique_ptr<contender> make(record& r) {
  if (!r.works) return nullptr;
  try {
    return r.who->make();
  } catch (const std::exception& e) {
    std::fprintf(stderr, "belfry-bench: %s: %s\n", r.who->name.c_str(), e.what());
    r.works = false;
    return nullptr;
  }
}

/// A number of rounds, each begun by another entrant. False if an entrant has failed: it is out, and none of
/// these rounds counts.
bool play(std::vector<record>& records, std::size_t first, int rounds, std::chrono::seconds limit) {
  std::vector<std::unique_ptr<contender>> contenders;
  for (record& r : records) contenders.push_back(make(r));
  std::vector<turn> turns;
  std::vector<record*> playing;
  for (int round = 0; round != rounds; ++round, ++first) {
    for (std::size_t k = 0; k != records.size(); ++k) {
      const std::size_t i = (first + k) % records.size();
      if (!contenders[i]) continue;
      turns.push_back({records[i].who->name, contenders[i].get(), records[i].operations, {}});
      playing.push_back(&records[i]);
    }
  }
  const std::size_t done = run_pair(turns, limit);
  if (done != turns.size()) {
    playing[done]->works = false;
    return false;
  }
  for (std::size_t i = 0; i != turns.size(); ++i) playing[i]->figures.push_back(*turns[i].result);
  return true;
}

std::vector<std::optional<figure>> summaries(const std::vector<record>& records) {
  std::vector<std::optional<figure>> all;
  for (const record& r : records) all.push_back(r.summary());
  return all;
}

}  // namespace

std::vector<std::optional<figure>> measure(const std::vector<entrant>& entrants,
                                           const effort& how) {
  std::vector<record> records;
  for (const entrant& e : entrants) records.push_back({&e, how.first, true, {}});

  // The duration of an operation is found step by step: with few operations it is a matter of chance.
  for (bool settled = false; !settled;) {
    if (!play(records, 0, 1, how.limit)) continue;
    settled = true;
    for (record& r : records) {
      if (!r.works) continue;
      const double more = how.seconds / std::max(r.figures.back().seconds, 1e-6);
      r.operations =
          static_cast<std::uint64_t>(static_cast<double>(r.operations) * std::min(more, 8.0));
      r.operations = std::max(r.operations, how.least);
      settled = settled && more < 4;
      r.figures.clear();
    }
  }
  for (int round = 0; round != how.rounds;) {
    if (play(records, static_cast<std::size_t>(round), 1, how.limit)) ++round;
  }
  return summaries(records);
}

std::vector<std::optional<figure>> measure_kept(const std::vector<entrant>& entrants,
                                                std::uint64_t operations, const effort& how) {
  std::vector<record> records;
  for (const entrant& e : entrants) records.push_back({&e, operations, true, {}});
  while (!play(records, 0, how.rounds + 1, how.limit)) {
  }
  for (record& r : records) {
    if (r.works) r.figures.erase(r.figures.begin());
  }
  return summaries(records);
}

std::vector<std::pair<std::string, std::optional<figure>>> named(
    const std::vector<entrant>& entrants, const std::vector<std::optional<figure>>& figures,
    std::size_t count) {
  std::vector<std::pair<std::string, std::optional<figure>>> result;
  for (std::size_t i = 0; i != count; ++i) result.emplace_back(entrants[i].name, figures[i]);
  return result;
}

}  // namespace belfry::bench
