// A list of values of several types, shared with a Python program: the third example of CPython's
// documentation of multiprocessing.shared_memory. It is a ShareableList there and a shareable_list here.
//
//   shared_list [NAME]                                and, while it waits, in another shell:
//   python3 examples/python/shared_list.py [NAME]
#include "net.hpp"

#include <belfry/shareable_list.hpp>

#include <cstdlib>
#include <iostream>

namespace {

void print(const belfry::shareable_list& list) {
  std::cout << "shared_list:";
  for (const auto& value : list) std::cout << ' ' << value;
  std::cout << std::endl;
}

}  // namespace

int main(int argc, char** argv) try {
  using value = belfry::shareable_list::value;
  const std::vector<value> values{"howdy", belfry::bytes("HoWdY"), -273.154, 100, nullptr, true, 42};
  belfry::shareable_list a(values, argc > 1 ? argv[1] : "shared-list");
  const belfry::unlink_on_destroy owner(a.shm());

  a[2] = -78.5;
  a[2] = "dry ice";  // another type, within the element's original room
  try {
    a[2] = "larger than previously allocated storage space";
  } catch (const std::length_error&) {
    std::cout << "shared_list: no room for that, element 2 is still " << a[2] << std::endl;
  }
  std::cout << "shared_list: " << a.size() << " elements, 42 is number " << a.index(42) << std::endl;

  net::io_context io;
  belfry::watch w(io, a.shm());
  // Completes when element 0 or 6 changes. Python notifies about the whole list.
  w.async_changed(w.version(), {0, 6}, [&](const belfry::error_code& ec, std::uint64_t) {
    if (ec) throw belfry::net_system_error(ec);
    print(a);
  });
  print(a);
  io.run();
  return EXIT_SUCCESS;
} catch (const std::exception& e) {
  std::cerr << "shared_list: " << e.what() << '\n';
  return EXIT_FAILURE;
}
