#include "../platform/block.hpp"
#include "identity.hpp"
#include "json_text.hpp"

#include <belfry/detail/segment/described_channel.hpp>
#include <belfry/detail/segment/segment.hpp>

#include <array>
#include <cstring>
#include <nlohmann/json.hpp>
#include <span>

namespace belfry::detail {
namespace {

constexpr std::size_t most_text = 256 << 10;

std::string hexadecimal(std::span<const std::byte> bytes) {
  constexpr std::string_view digits = "0123456789abcdef";
  std::string text;
  for (const std::byte b : bytes) {
    text += digits[std::to_integer<unsigned>(b) >> 4];
    text += digits[std::to_integer<unsigned>(b) & 15];
  }
  return text;
}

bool from_hexadecimal(std::string_view text, std::span<std::byte> out) {
  if (text.size() != 2 * out.size()) return false;
  const auto digit = [](char c) {
    if (c >= '0' && c <= '9') return c - '0';
    if (c >= 'a' && c <= 'f') return c - 'a' + 10;
    return -1;
  };
  for (std::size_t i = 0; i != out.size(); ++i) {
    const int high = digit(text[2 * i]);
    const int low = digit(text[2 * i + 1]);
    if (high < 0 || low < 0) return false;
    out[i] = static_cast<std::byte>(high << 4 | low);
  }
  return true;
}

bool read_segment(const unique_handle& block, std::string_view name, described_segment& out, failure& f) {
  const std::string label = '"' + std::string(name) + '"';
  const std::uint64_t size = platform::block_size(block, f);
  if (f) return false;
  if (!platform::peek_block(block, std::as_writable_bytes(std::span(&out.id, 1)))) {
    f = {make_error_code(errc::incompatible), label + ": too small for a control header"};
    return false;
  }
  if (traits_of_segment(out.id, size, label, f) == nullptr) return false;
  const std::size_t begin = layout::description_offset(participants(out.id));
  std::string bytes(begin + out.id.description_bytes, '\0');
  if (!platform::peek_block(block, std::as_writable_bytes(std::span(bytes)))) {
    f = {make_error_code(errc::incompatible), label + ": the description is missing"};
    return false;
  }
  out.description = bytes.substr(begin);
  return true;
}

/// None: it is not such a text, or describes no sound segment.
bool parse(std::string_view text, const std::string& label, described_segment& out, failure& f) {
  const auto refuse = [&](const char* why) {
    f = {make_error_code(errc::incompatible), label + ": the description of the channel " + why};
    return false;
  };
  if (text.size() > most_text || !is_nested_at_most(4, text)) return refuse("is too long, or nested too deep");
  const auto json = nlohmann::json::parse(text, nullptr, false);
  if (!json.is_object()) return refuse("is not JSON");
  const auto member = [&](const char* key) -> const std::string* {
    const auto found = json.find(key);
    return found == json.end() ? nullptr : found->get_ptr<const std::string*>();
  };
  const std::string* const identity = member("identity");
  const std::string* const description = member("description");
  if (identity == nullptr || description == nullptr) return refuse("lacks \"identity\" or \"description\"");
  if (!from_hexadecimal(*identity, std::as_writable_bytes(std::span(&out.id, 1)))) return refuse("is damaged");
  out.description = *description;
  if (out.id.magic != layout::magic) return refuse("is damaged");
  if (!same("layout version", out.id.version, layout::version, label, f)) return false;
  if (!plausible(out)) return refuse("contradicts itself");
  return traits_of_segment(out.id, out.id.segment_bytes, label, f) != nullptr;
}

}  // namespace

std::string describe_channel(std::string_view name, failure& f) {
  const unique_handle block = platform::open_block(name, false, f);
  described_segment found;
  if (!block || !read_segment(block, name, found, f)) return {};
  layout::identity id = found.id;
  id.segment_id = {};
  id.process_namespace = 0;
  id.bell_mode = 0;
  id.creator = 0;
  id.created = 0;
  id.program = {};
  nlohmann::ordered_json json{{"belfry", BELFRY_VERSION},
                              {"ring", layout::name_of(id.kind)},
                              {"capacity", id.capacity},
                              {"value_bytes", id.value_bytes},
                              {"identity", hexadecimal(std::as_bytes(std::span(&id, 1)))},
                              {"description", found.description}};
  return json.dump(-1, ' ', false, nlohmann::json::error_handler_t::replace);
}

void make_channel(std::string_view name, std::string_view text, unsigned mode, failure& f) {
  const std::string label = '"' + std::string(name) + '"';
  described_segment wanted;
  if (!check_mode(mode, name, f) || !parse(text, label, wanted, f)) return;
  wanted.id.subject = 0;
  wanted.id.flags &= layout::flag_persistent;
  wanted.id.bell_mode = mode & 0777;
  for (;;) {
    f = {};
    if (const unique_handle block = platform::open_block(name, false, f)) {
      described_segment found;
      if (!read_segment(block, name, found, f)) return;
      // The library below an spsc_ring may be another one here: any_channel does not mind.
      if (wanted.id.kind == layout::ring_kind::spsc) wanted.id.abi_fingerprint = found.id.abi_fingerprint;
      segment::same_ring(found, wanted, false, label, f);
      return;
    }
    if (f.code != std::errc::no_such_file_or_directory) return;
    f = {};
    if (segment::create_as_described(name, wanted, mode, f) || f.code != std::errc::file_exists) return;
  }
}

}  // namespace belfry::detail
