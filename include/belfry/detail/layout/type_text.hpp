// A type's name as the compiler spells it, made the same for GCC and Clang.
#pragma once

#include <cstddef>
#include <cstdint>
#include <initializer_list>
#include <string_view>

namespace belfry::detail {

inline constexpr std::uint64_t fnv1a_basis = 0xcbf29ce484222325;

constexpr std::uint64_t fnv1a(std::string_view text, std::uint64_t hash = fnv1a_basis) {
  for (const char c : text) {
    if (c == ' ') continue;  // compilers put spaces in different places
    hash = (hash ^ static_cast<unsigned char>(c)) * 0x100000001b3;
  }
  return hash;
}

/// The type's qualified name, cut out of the compiler's name for this function.
template <class T>
constexpr std::string_view compilers_name() {
#if defined(_MSC_VER)
  const std::string_view text = __FUNCSIG__;
  const std::size_t begin = text.find("compilers_name<") + 15;
  const std::size_t end = text.rfind(">(void)");
#else
  const std::string_view text = __PRETTY_FUNCTION__;
  const std::size_t begin = text.find("T = ") + 4;
  // GCC appends what std::string_view stands for.
  const std::size_t more = text.rfind("; std::string_view = ");
  const std::size_t end = more != text.npos ? more : text.rfind(']');
#endif
  return text.substr(begin, end - begin);
}

/// `a::b` of `a::b<c, d>`.
constexpr std::string_view without_arguments(std::string_view name) {
  if (!name.ends_with('>')) return name;
  std::size_t depth = 0;
  for (std::size_t i = name.size(); i != 0; --i) {
    if (name[i - 1] == '>') ++depth;
    if (name[i - 1] == '<' && --depth == 0) return name.substr(0, i - 1);
  }
  return name;
}

/// Whether it is a type without a name, or is in one. The compilers write `<unnamed struct>`, `<unnamed union>`,
/// `(unnamed struct at file.cpp:1:1)`, `(anonymous union at file.cpp:1:1)`.
constexpr bool is_unnamed(std::string_view name) {
  for (const std::string_view word : {"<unnamed", "<anonymous", "(unnamed", "(anonymous"}) {
    for (std::size_t at = name.find(word); at != name.npos; at = name.find(word, at + 1)) {
      if (!name.substr(at).starts_with("(anonymous namespace)")) return true;
    }
  }
  return false;
}

/// `c` of `a::b<x>::c`, `d<a::b>` of `a::d<a::b>`; empty for a type without a name.
constexpr std::string_view unqualified(std::string_view name) {
  if (is_unnamed(name)) return {};
  std::size_t depth = 0;
  for (std::size_t i = name.size(); i != 0; --i) {
    const char c = name[i - 1];
    if (c == '>' || c == ')' || c == ']') ++depth;
    if ((c == '<' || c == '(' || c == '[') && depth != 0) --depth;
    if (c == ':' && depth == 0) return name.substr(i);
  }
  return name;
}

/// FNV-1a of a type's name, alike for GCC and Clang, which write
///
///     std::chrono::_V2::system_clock   std::chrono::system_clock    inline namespaces of the implementation
///     long unsigned int                unsigned long                `long` and `long long` are the same, too
///     {anonymous}::a                   (anonymous namespace)::a
///     a<1>                             a<1UL>
class text_hasher {
 public:
  explicit constexpr text_hasher(std::string_view text) : rest_(text) {}

  constexpr std::uint64_t hash() {
    while (!rest_.empty()) {
      if (take("{anonymous}") || take("(anonymous namespace)")) {
        add("{anonymous}");
      } else if (const std::string_view word = next_word(); !word.empty()) {
        rest_.remove_prefix(word.size());
        add_word(word);
      } else {
        add(rest_.substr(0, 1));
        rest_.remove_prefix(1);
      }
    }
    return hash_;
  }

 private:
  static constexpr bool is_digit(char c) { return c >= '0' && c <= '9'; }
  static constexpr bool is_upper(char c) { return c >= 'A' && c <= 'Z'; }
  static constexpr bool is_word(char c) {
    return is_digit(c) || is_upper(c) || (c >= 'a' && c <= 'z') || c == '_';
  }
  static constexpr bool is_reserved(std::string_view word) {
    return word.size() > 1 && word[0] == '_' && (word[1] == '_' || is_upper(word[1]));
  }

  constexpr std::string_view next_word() const {
    std::size_t n = 0;
    while (n != rest_.size() && is_word(rest_[n])) ++n;
    return rest_.substr(0, n);
  }
  constexpr bool take(std::string_view text) {
    if (!rest_.starts_with(text)) return false;
    rest_.remove_prefix(text.size());
    return true;
  }
  constexpr void add(std::string_view text) { hash_ = fnv1a(text, hash_); }

  constexpr void add_word(std::string_view word) {
    if (is_digit(word[0])) {
      add(word.substr(0, word.find_last_not_of("uUlL") + 1));
    } else if (is_reserved(word) && take("::")) {
      // a namespace that only one compiler shows
    } else if (integer i; i.take(word)) {
      while (true) {  // the words of an integer type may come in any order
        const std::string_view before = rest_;
        take(" ");
        const std::string_view more = next_word();
        if (!i.take(more)) {
          rest_ = before;
          break;
        }
        rest_.remove_prefix(more.size());
      }
      add(i.name());
    } else {
      add(word);
    }
  }

  /// The words of an integer type; also of `long double`, and of a plain `char`.
  struct integer {
    constexpr bool take(std::string_view word) {
      if (word == "unsigned") return is_unsigned = true;
      if (word == "signed") return is_signed = true;
      if (word == "int") return true;
      if (word == "char") return is_char = true;
      if (word == "double") return longs != 0 && (is_double = true);
      if (word == "short") return set_bytes(sizeof(short));
      if (word == "__int128") return set_bytes(16);
      if (word != "long") return false;
      ++longs;
      return set_bytes(longs == 1 ? sizeof(long) : sizeof(long long));
    }
    constexpr std::string_view name() const {
      if (is_double) return "long double";
      if (is_char) return is_unsigned ? "unsigned1" : is_signed ? "signed1" : "char";
      switch (bytes) {
        case 2: return is_unsigned ? "unsigned2" : "signed2";
        case 4: return is_unsigned ? "unsigned4" : "signed4";
        case 8: return is_unsigned ? "unsigned8" : "signed8";
        default: return is_unsigned ? "unsigned16" : "signed16";
      }
    }
    constexpr bool set_bytes(std::size_t n) {
      bytes = n;
      return true;
    }

    std::size_t bytes = sizeof(int);
    int longs = 0;
    bool is_unsigned = false;
    bool is_signed = false;
    bool is_char = false;
    bool is_double = false;
  };

  std::string_view rest_;
  std::uint64_t hash_ = fnv1a_basis;
};

constexpr std::uint64_t text_hash(std::string_view name) { return text_hasher(name).hash(); }

}  // namespace belfry::detail
