#include "../../base/utf8.hpp"
#include "pickle.hpp"
#include "pickle_opcode.hpp"

#include <array>
#include <limits>
#include <stdexcept>

namespace belfry::detail::pickle {
namespace {

class dumper {
 public:
  explicit dumper(std::string& out) : out_(out) {}

  void operator()(const none&) { op(push_none); }
  void operator()(const dict&) { op(empty_dict); }

  void operator()(std::int64_t i) {
    if (i < std::numeric_limits<std::int32_t>::min() ||
        i > std::numeric_limits<std::int32_t>::max()) {
      throw std::length_error("pickle: an integer of more than 32 bits");
    }
    const int bytes = i < 0 || i > 0xffff ? 4 : i > 0xff ? 2 : 1;
    op(bytes == 1 ? binint1 : bytes == 2 ? binint2 : binint);
    number(static_cast<std::uint64_t>(i), bytes);
  }

  void operator()(const std::string& text) {
    if (!is_utf8(text)) throw std::invalid_argument("pickle: text that is not UTF-8");
    if (text.size() > std::numeric_limits<std::uint32_t>::max()) {
      throw std::length_error("pickle: text of more than 4 GiB");
    }
    const int bytes = text.size() > 0xff ? 4 : 1;
    op(bytes == 1 ? short_binunicode : binunicode);
    number(text.size(), bytes);
    out_ += text;
  }

  void operator()(const list& l) {
    op(empty_list);
    if (l.items.empty()) return;
    if (l.items.size() != 1) op(mark);
    all(l.items);
    op(l.items.size() == 1 ? append : appends);
  }

  void operator()(const tuple& t) {
    constexpr std::array<opcode, 4> short_ones{empty_tuple, tuple1, tuple2, tuple3};
    const std::size_t n = t.items.size();
    if (n >= short_ones.size()) op(mark);
    all(t.items);
    op(n < short_ones.size() ? short_ones[n] : make_tuple);
  }

 private:
  void op(opcode o) { out_ += static_cast<char>(o); }

  void number(std::uint64_t v, int bytes) {
    for (; bytes != 0; --bytes, v >>= 8) out_ += static_cast<char>(v);
  }

  void all(const std::vector<value>& items) {
    for (const value& v : items) std::visit(*this, v);
  }

  std::string& out_;
};

}  // namespace

std::string dump(const value& v) {
  std::string out{static_cast<char>(proto), 4};
  std::visit(dumper(out), v);
  out += static_cast<char>(stop);
  return out;
}

}  // namespace belfry::detail::pickle
