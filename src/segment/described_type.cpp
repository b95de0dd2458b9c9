#include "description.hpp"

#include <belfry/describe.hpp>
#include <belfry/error.hpp>

#include <stdexcept>
#include <utility>

namespace belfry {
namespace {

[[noreturn]] void refuse(const std::string& why) {
  throw std::system_error(std::make_error_code(std::errc::invalid_argument), why);
}

}  // namespace

described_type::described_type(const detail::type_description& type) : described_type(detail::reduced(type)) {}
described_type::described_type(detail::description&& type)
    : type_(std::make_shared<const detail::description>(std::move(type))) {}
described_type::described_type(const described_type&) noexcept = default;
described_type& described_type::operator=(const described_type&) noexcept = default;
described_type::~described_type() = default;

described_type described_type::parse(std::string_view description) {
  std::string error;
  std::optional<detail::description> type = detail::parse_description(description, error);
  if (!type) throw std::system_error(make_error_code(errc::corrupted), error);
  return described_type(std::move(*type));
}

std::string_view described_type::name() const noexcept { return type_->name; }
std::size_t described_type::bytes() const noexcept { return type_->bytes; }
std::size_t described_type::align() const noexcept { return type_->align; }
bool described_type::is_opaque() const noexcept { return type_->kind == detail::type_kind::opaque; }
std::string described_type::description() const { return detail::to_json(*type_); }

std::string described_type::to_json(std::span<const std::byte> value) const {
  if (value.size() != bytes()) {
    refuse(std::to_string(value.size()) + " bytes: a value has " + std::to_string(bytes()));
  }
  return detail::value_to_json(*type_, value.data());
}

std::vector<std::byte> described_type::from_json(std::string_view json) const {
  try {
    return detail::value_from_json(*type_, json);
  } catch (const std::invalid_argument& e) {
    refuse(e.what());
  }
}

}  // namespace belfry
