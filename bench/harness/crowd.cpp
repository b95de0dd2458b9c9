#include "crowd.hpp"

#include "child.hpp"
#include "cpus.hpp"
#include "timer.hpp"

#include <algorithm>
#include <cstdio>
#include <exception>
#include <memory>
#include <stdexcept>

#include <unistd.h>

namespace belfry::bench {
namespace {

constexpr auto warm_up = std::chrono::milliseconds(50);

void sleep_for(std::chrono::microseconds time) { ::usleep(static_cast<useconds_t>(time.count())); }

bool play(const part& p, member me) {
  try {
    p(me);
    return true;
  } catch (const std::exception& e) {
    std::fprintf(stderr, "belfry-bench: %s\n", e.what());
    return false;
  }
}

using children = std::vector<std::unique_ptr<child>>;

void throw_if_failed(const children& all) {
  for (const auto& c : all) {
    if (c->has_failed()) throw std::runtime_error("a process has failed");
  }
}

}  // namespace

void member::ready() {
  notes_.ready.fetch_add(1);
  while (!notes_.go.load()) sleep_for(std::chrono::microseconds(100));
}

double rate(const std::vector<part>& parts, std::chrono::milliseconds turn, placing where) {
  if (parts.size() > most_members) throw std::length_error("too many processes");
  const std::vector<int> cpus = allowed_cpus();
  const inherited<crowd_notes> notes;
  children all;
  for (std::size_t i = 0; i != parts.size(); ++i) {
    all.push_back(std::make_unique<child>([&, i] {
      if (where == placing::in_turns) pin(cpus[i % cpus.size()]);
      return play(parts[i], member(*notes, i));
    }));
  }
  while (notes->ready.load() != parts.size()) {
    throw_if_interrupted();
    throw_if_failed(all);
    sleep_for(std::chrono::milliseconds(1));
  }
  const auto sum = [&] {
    std::uint64_t done = 0;
    for (const auto& m : notes->members) done += m.done.load();
    return static_cast<double>(done);
  };
  notes->go.store(true);
  sleep_for(warm_up);
  const auto begin = stopwatch::now();
  const double before = sum();
  sleep_for(turn);
  const double result = (sum() - before) / seconds(stopwatch::now() - begin).count();
  notes->over.store(true);
  for (const auto& c : all) c->wait(std::chrono::seconds(10));
  throw_if_failed(all);
  return result;
}

std::vector<std::optional<figure>> median_rates(const std::vector<crowd>& crowds, int rounds) {
  std::vector<std::vector<double>> rates(crowds.size());
  std::vector<bool> works(crowds.size(), true);
  for (int round = 0; round != rounds; ++round) {
    for (std::size_t i = 0; i != crowds.size(); ++i) {
      if (!works[i]) continue;
      try {
        rates[i].push_back(crowds[i].rate());
      } catch (const std::exception& e) {
        std::fprintf(stderr, "belfry-bench: %s: %s\n", crowds[i].name.c_str(), e.what());
        works[i] = false;
      }
    }
  }
  std::vector<std::optional<figure>> medians(crowds.size());
  for (std::size_t i = 0; i != crowds.size(); ++i) {
    if (!works[i]) continue;
    const auto middle = rates[i].begin() + rounds / 2;
    std::nth_element(rates[i].begin(), middle, rates[i].end());
    medians[i] = figure{*middle};
  }
  return medians;
}

}  // namespace belfry::bench
