#include "companion.hpp"

#include "removal.hpp"

namespace belfry::detail {
namespace {

constexpr std::string_view suffix = ".watch";
constexpr std::size_t longest_block = max_segment_name - suffix.size();

}  // namespace

std::string companion_name(std::string_view block, failure& f) {
  if (block.size() <= longest_block) return std::string(block) + std::string(suffix);
  f = {std::make_error_code(std::errc::filename_too_long),
       "the name \"" + std::string(block.substr(0, 64)) + "...\" has " +
           std::to_string(block.size()) +
           " bytes: for transactions and watches a block has a companion, NAME" +
           std::string(suffix) + ", and its own name may then have " +
           std::to_string(longest_block) + " bytes at most"};
  return {};
}

std::optional<std::string_view> block_of_companion(std::string_view name) noexcept {
  if (!name.ends_with(suffix)) return {};
  return name.substr(0, name.size() - suffix.size());
}

void remove_companion_if_over(std::string_view block) {
  failure ignored;
  const std::string name = companion_name(block, ignored);
  if (!name.empty()) remove_segment(name, {}, ignored);
}

}  // namespace belfry::detail
