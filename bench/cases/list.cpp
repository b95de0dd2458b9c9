// A list in a block: per element, against CPython's ShareableList.
#include "cases.hpp"
#include "../peers/cpython.hpp"
#include "../harness/solo.hpp"

#include <belfry/shareable_list.hpp>

#include <string>
#include <vector>

namespace belfry::bench {
namespace {

constexpr std::size_t size = 100;

constexpr const char* in_python = R"(
numbers = ShareableList(range(100))
words = ShareableList(['word %d' % i for i in range(100)])
try:
    def set_numbers():
        for i in range(100): numbers[i] = i
    def set_words():
        for i in range(100): words[i] = 'WORD'
    report('get-int', lambda: [numbers[i] for i in range(100)], 100)
    report('set-int', set_numbers, 100)
    report('iterate-int', lambda: sum(numbers), 100)
    report('count-int', lambda: numbers.count(7), 100)
    report('get-str', lambda: [words[i] for i in range(100)], 100)
    report('set-str', set_words, 100)
    report('iterate-str', lambda: [w for w in words], 100)
    report('count-str', lambda: words.count('WORD'), 100)
finally:
    for l in numbers, words:
        l.shm.close()
        l.shm.unlink()
)";

std::vector<std::function<void()>> operations(shareable_list& list, const shareable_list::value& one) {
  return {
      [&] {
        for (std::size_t i = 0; i != size; ++i) keep(list.at(i));
      },
      [&] {
        for (std::size_t i = 0; i != size; ++i) list[i] = one;
      },
      [&] {
        for (const shareable_list::value& v : std::as_const(list)) keep(v);
      },
      [&] { keep(list.count(one)); },
  };
}

}  // namespace

void list(report& out) {
  std::vector<shareable_list::value> numbers;
  std::vector<shareable_list::value> words;
  for (std::size_t i = 0; i != size; ++i) {
    numbers.emplace_back(static_cast<std::int64_t>(i));
    words.emplace_back("word " + std::to_string(i));
  }
  shareable_list of_numbers{std::span<const shareable_list::value>(numbers)};
  shareable_list of_words{std::span<const shareable_list::value>(words)};
  const unlink_on_destroy owns_numbers(of_numbers.shm());
  const unlink_on_destroy owns_words(of_words.shm());

  constexpr double nanoseconds = 1e9;
  const shareable_list::value seven = std::int64_t{7};
  const shareable_list::value word = "WORD";
  const auto theirs = run_cpython(std::string(cpython_prelude) + in_python, nanoseconds);
  for (const bool text : {false, true}) {
    const auto ours = measure_alone(text ? operations(of_words, word) : operations(of_numbers, seven),
                                    nanoseconds, size);
    const char* const names[] = {"get", "set", "iterate", "count"};
    for (std::size_t i = 0; i != ours.size(); ++i) {
      const std::string type = text ? "str" : "int";
      out.add({"list",
               "ns",
               {{"op", std::string(names[i])}, {"type", type}},
               figure{ours[i]},
               {{"CPython ShareableList", find(theirs, std::string(names[i]) + '-' + type)}}});
    }
  }
}

}  // namespace belfry::bench
