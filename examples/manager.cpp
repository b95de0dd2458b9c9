// The three examples of CPython's documentation of SharedMemoryManager: a manager that is started and shut
// down; one that ends with its scope; two processes that each work on half of a list.
#include "net.hpp"

#include <belfry/shared_memory_manager.hpp>

#include <cstdlib>
#include <iostream>
#include <numeric>
#include <string>
#include <vector>

#include <sys/wait.h>
#include <unistd.h>

namespace {

using value = belfry::shareable_list::value;

void start_and_shut_down() {
  belfry::shared_memory_manager smm;
  smm.start();  // in a process of its own
  auto sl = smm.shareable_list({0, 1, 2, 3});
  auto raw = smm.shared_memory(128);
  auto another = smm.shareable_list({"a", "l", "p", "h", "a"});
  std::cout << "manager: " << smm.list_segments().size() << " blocks, a list:";
  for (const auto& v : another) std::cout << ' ' << v;
  std::cout << std::endl;
  smm.shutdown();  // removes all three blocks
  belfry::error_code ec;
  belfry::shared_memory::open(raw.name(), belfry::access::read_write, ec);
  std::cout << "manager: after shutdown: " << ec.message() << std::endl;
}

std::int64_t sum(const belfry::shareable_list& list, std::size_t begin, std::size_t end) {
  std::int64_t all = 0;
  for (std::size_t i = begin; i != end; ++i) all += std::get<std::int64_t>(list.at(i));
  return all;
}

/// Doubles part of the list, in a process of its own.
pid_t work(const std::string& name, std::size_t begin, std::size_t end) {
  const pid_t pid = ::fork();
  if (pid != 0) return pid;
  auto list = belfry::shareable_list::open(name);
  for (std::size_t i = begin; i != end; ++i) list[i] = 2 * std::get<std::int64_t>(list.at(i));
  ::_exit(EXIT_SUCCESS);
}

void two_workers() {
  belfry::shared_memory_manager smm;  // shut down at the end of this scope, even after an exception
  smm.start();
  std::vector<value> numbers(2000);
  for (std::size_t i = 0; i != numbers.size(); ++i) numbers[i] = static_cast<std::int64_t>(i);
  auto list = smm.shareable_list(numbers);
  for (const pid_t worker :
       {work(list.shm().name(), 0, 1000), work(list.shm().name(), 1000, 2000)}) {
    int status = 0;
    if (::waitpid(worker, &status, 0) != worker || status != 0)
      throw std::runtime_error("a worker has failed");
  }
  std::cout << "manager: the sum is " << sum(list, 0, list.size()) << std::endl;
}

}  // namespace

int main() try {
  start_and_shut_down();
  {
    belfry::shared_memory_manager smm;
    smm.start();
    auto list = smm.shareable_list({1, 2, 3});
    std::cout << "manager: " << list.shm() << std::endl;
  }
  two_workers();
  return EXIT_SUCCESS;
} catch (const std::exception& e) {
  std::cerr << "manager: " << e.what() << '\n';
  return EXIT_FAILURE;
}
