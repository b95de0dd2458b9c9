// What a list does with the values of its elements, whatever their bytes are.
#include "python_equality.hpp"

#include <belfry/shareable_list.hpp>

#include <iomanip>
#include <sstream>
#include <stdexcept>

namespace belfry {
namespace {

using value = shareable_list::value;

std::string show(const value& v) {
  std::ostringstream out;
  operator<<(out, v);
  return out.str();
}

bool equal(const value& a, const value& b, equality how) {
  return how == equality::python ? detail::equal_in_python(a, b) : a == b;
}

}  // namespace

shareable_list::size_type shareable_list::count(const value& v, equality how) const {
  memory();  // throws for a closed list, even an empty one
  size_type n = 0;
  for (size_type i = 0; i != size_; ++i) n += equal(v, at(i), how);
  return n;
}

shareable_list::size_type shareable_list::index(const value& v, equality how) const {
  memory();
  for (size_type i = 0; i != size_; ++i) {
    if (equal(v, at(i), how)) return i;
  }
  throw std::invalid_argument(show(v) + " not in this container");
}

std::vector<value> shareable_list::to_vector() const {
  memory();
  std::vector<value> all;
  all.reserve(size_);
  for (size_type i = 0; i != size_; ++i) all.push_back(at(i));
  return all;
}

bool operator==(const shareable_list& a, const shareable_list& b) {
  if (a.size() != b.size()) return false;
  for (std::size_t i = 0; i != a.size(); ++i) {
    if (a.at(i) != b.at(i)) return false;
  }
  return true;
}

std::ostream& operator<<(std::ostream& out, const value& v) {
  struct printer {
    std::ostream& out;
    void operator()(std::nullptr_t) const { out << "None"; }
    void operator()(bool b) const { out << (b ? "True" : "False"); }
    void operator()(std::int64_t i) const { out << i; }
    void operator()(double d) const { out << d; }
    void operator()(const std::string& s) const { out << std::quoted(s); }
    void operator()(const bytes& b) const { out << 'b' << std::quoted(b.view()); }
  };
  std::visit(printer{out}, v);
  return out;
}

}  // namespace belfry
