// Stack, marks and memo behave as in CPython's Modules/_pickle.c, where it is strict. Where it is lenient
// (values left on the stack, bytes after the end, an argument across the end of a frame), no pickler makes
// use of that, and it is refused here.
#include "../../base/utf8.hpp"
#include "pickle.hpp"
#include "pickle_opcode.hpp"

#include <algorithm>
#include <array>
#include <charconv>
#include <iterator>
#include <optional>

namespace belfry::detail::pickle {

bool operator==(const list& a, const list& b) { return a.items == b.items; }
bool operator==(const tuple& a, const tuple& b) { return a.items == b.items; }

namespace {

/// How many bytes the copies of memoized text may have together, beyond the size of the pickle. A peer may
/// legitimately send a list of many long names that were all the same object.
constexpr std::size_t copied_text = 1 << 20;

std::string hexadecimal(std::uint8_t byte) {
  std::array<char, 2> digits{'0', '0'};
  std::to_chars(digits.data() + (byte < 16), digits.data() + 2, byte, 16);
  return "0x" + std::string(digits.data(), 2);
}

class loader {
 public:
  loader(std::string_view bytes, failure& f) : bytes_(bytes), f_(f) {}

  value run() {
    header();
    while (!f_) {
      begin_ = at_;
      const std::uint8_t op = static_cast<std::uint8_t>(number(1));
      if (!f_ && op == stop) return result();
      if (!f_) step(op);
    }
    return {};
  }

 private:
  struct entry {
    value what;
    std::size_t depth = 0;
    std::string_view text = {};  // where the text is in the pickle
  };

  void header() {
    const std::uint64_t first = number(1);
    const std::uint64_t version = number(1);
    if (f_) return;
    if (first != proto) return fail("does not begin with a protocol");
    if (version != 4 && version != 5) fail("protocol " + std::to_string(version));
  }

  void step(std::uint8_t op) {
    switch (op) {
      case frame: return enter_frame();
      case mark: return marks_.push_back(stack_.size());
      case memoize: return remember();
      case push_none: return push({none{}});
      case binint1: return push({static_cast<std::int64_t>(number(1))});
      case binint2: return push({static_cast<std::int64_t>(number(2))});
      case binint: return push({std::int64_t{static_cast<std::int32_t>(number(4))}});
      case short_binunicode: return push_text(take(number(1)));
      case binunicode: return push_text(take(number(4)));
      case binget: return recall(number(1));
      case long_binget: return recall(number(4));
      case empty_dict: return push({dict{}, 1});
      case empty_list: return push({list{}, 1});
      case append: return extend(1);
      case appends: return extend(since_mark());
      case empty_tuple: return push({tuple{}, 1});
      case tuple1: return push_tuple(1);
      case tuple2: return push_tuple(2);
      case tuple3: return push_tuple(3);
      case make_tuple: return push_tuple(since_mark());
      default: return fail("opcode " + hexadecimal(op) + " is not allowed");
    }
  }

  value result() {
    if (at_ != bytes_.size()) {
      fail("bytes after the end");
    } else if (!marks_.empty()) {
      fail("a mark is left over");
    } else if (stack_.size() != 1) {
      fail(std::to_string(stack_.size()) + " values at the end");
    }
    return f_ ? value() : std::move(stack_.back().what);
  }

  // ---- the bytes ----

  std::string_view take(std::uint64_t n) {
    if (f_) return {};
    const bool framed = begin_ < frame_end_;  // like the opcode, so its argument must be in the frame too
    const std::size_t left = (framed ? frame_end_ : bytes_.size()) - at_;
    if (n > left) {
      fail(framed ? "the frame ends too early" : "the data ends too early");
      return {};
    }
    at_ += static_cast<std::size_t>(n);
    return bytes_.substr(at_ - static_cast<std::size_t>(n), static_cast<std::size_t>(n));
  }

  /// Little-endian.
  std::uint64_t number(std::size_t n) {
    const std::string_view digits = take(n);
    std::uint64_t v = 0;
    for (std::size_t i = digits.size(); i-- != 0;)
      v = v << 8 | static_cast<std::uint8_t>(digits[i]);
    return v;
  }

  void enter_frame() {
    if (begin_ < frame_end_) return fail("a frame within a frame");
    const std::uint64_t n = number(8);
    if (!f_ && n > bytes_.size() - at_) fail("a frame is longer than the data");
    if (!f_) frame_end_ = at_ + static_cast<std::size_t>(n);
  }

  // ---- the stack ----

  void push(entry e) {
    if (f_) return;
    if (e.depth > max_depth) return fail("a value is nested too deeply");
    if (++values_ > max_values) return fail("too many values");
    stack_.push_back(std::move(e));
  }

  void push_text(std::string_view text) {
    if (f_) return;
    if (!is_utf8(text)) return fail("text that is not UTF-8");
    push({std::string(text), 0, text});
  }

  /// Only values above the last mark can be reached.
  bool has(std::size_t n) {
    const std::size_t floor = marks_.empty() ? 0 : marks_.back();
    if (stack_.size() - floor < n) fail("too few values");
    return !f_;
  }

  /// The number of values above the last mark; removes the mark.
  std::size_t since_mark() {
    if (marks_.empty()) {
      fail("no mark");
      return 0;
    }
    const std::size_t n = stack_.size() - marks_.back();
    marks_.pop_back();
    return n;
  }

  void push_tuple(std::size_t n) {
    if (f_ || !has(n)) return;
    tuple all;
    const std::size_t depth = move_top(n, all.items);
    push({std::move(all), depth});
  }

  void extend(std::size_t n) {
    if (f_ || !has(n + 1)) return;
    entry& target = *(stack_.end() - static_cast<std::ptrdiff_t>(n + 1));
    list* const l = std::get_if<list>(&target.what);
    if (l == nullptr) return fail("append to a value that is not a list");
    target.depth = std::max(target.depth, move_top(n, l->items));
    if (target.depth > max_depth) fail("a value is nested too deeply");
  }

  /// Moves the `n` topmost values to the end of `items`; returns the nesting depth of a value that holds
  /// them.
  std::size_t move_top(std::size_t n, std::vector<value>& items) {
    const auto first = stack_.end() - static_cast<std::ptrdiff_t>(n);
    std::size_t depth = 1;
    for (auto e = first; e != stack_.end(); ++e) {
      depth = std::max(depth, 1 + e->depth);
      items.push_back(std::move(e->what));
    }
    stack_.erase(first, stack_.end());
    return depth;
  }

  // ---- the memo: only text, because through it a list could become an item of itself ----

  void remember() {
    if (!has(1)) return;
    if (memo_.size() == max_values) return fail("the memo is too large");
    const entry& top = stack_.back();
    const bool text = std::holds_alternative<std::string>(top.what);
    memo_.push_back(text ? std::optional(top.text) : std::nullopt);
  }

  void recall(std::uint64_t i) {
    if (f_) return;
    const std::string which = "memo " + std::to_string(i);
    if (i >= memo_.size()) return fail(which + " does not exist");
    const std::optional<std::string_view> text = memo_[static_cast<std::size_t>(i)];
    if (!text) return fail(which + " is not text");
    if (text->size() > copied_text + bytes_.size() - copied_) return fail("too much copied text");
    copied_ += text->size();
    push({std::string(*text), 0, *text});
  }

  void fail(const std::string& what) {
    f_ = {make_error_code(errc::protocol_error),
          "pickle: " + what + ", at offset " + std::to_string(begin_)};
  }

  const std::string_view bytes_;
  failure& f_;
  std::size_t at_ = 0;
  std::size_t begin_ = 0;  // offset of the opcode
  std::size_t frame_end_ = 0;
  std::vector<entry> stack_;
  std::vector<std::size_t> marks_;
  std::vector<std::optional<std::string_view>> memo_;
  std::size_t values_ = 0;
  std::size_t copied_ = 0;
};

}  // namespace

value load(std::string_view bytes, failure& f) { return loader(bytes, f).run(); }

}  // namespace belfry::detail::pickle
