// A pool of worker processes that adds the squares of 1 to 1,000,000. The jobs come over a channel of the
// manager, which has no name in the file system. Each worker adds its results to its own element of a shared
// list, and the parent adds these at the end.
//
//   manager_pool [WORKERS]        4
#include "net.hpp"

#include <belfry/shared_memory_manager.hpp>

#include <cstdlib>
#include <iostream>
#include <string>
#include <vector>

#include <sys/wait.h>
#include <unistd.h>

struct range {
  std::uint64_t begin;
  std::uint64_t end;
};
using jobs = belfry::channel<belfry::spsc_ring<range, 64>>;

namespace {

constexpr std::uint64_t last = 1'000'000;
constexpr std::uint64_t step = 10'000;

std::string channel_of(std::size_t worker) { return "jobs-" + std::to_string(worker); }

void work(const belfry::shared_memory_manager& manager, const std::string& list_name,
          std::size_t me) {
  net::io_context io;
  jobs::consumer rx(io, manager, channel_of(me));
  auto sums = belfry::shareable_list::open(list_name);
  range job{};
  belfry::error_code ec;
  while (!(ec = rx.receive(job))) {
    std::int64_t sum = std::get<std::int64_t>(sums.at(me));
    for (std::uint64_t n = job.begin; n != job.end; ++n) sum += static_cast<std::int64_t>(n * n);
    sums[me] = sum;
  }
  if (ec != belfry::errc::closed) throw belfry::net_system_error(ec);
}

pid_t start_worker(const belfry::shared_memory_manager& manager, const std::string& list_name,
                   std::size_t me) {
  const pid_t pid = ::fork();
  if (pid != 0) return pid;
  try {
    work(manager, list_name, me);
    ::_exit(EXIT_SUCCESS);
  } catch (const std::exception& e) {
    std::cerr << "manager_pool: worker " << me << ": " << e.what() << '\n';
    ::_exit(EXIT_FAILURE);
  }
}

net::awaitable<void> hand_out(net::io_context& io, const belfry::shared_memory_manager& manager,
                              std::size_t me, std::size_t workers) {
  jobs::producer tx(io, manager, channel_of(me));
  for (std::uint64_t begin = 1 + me * step; begin <= last; begin += workers * step) {
    const range job{begin, std::min(begin + step, last + 1)};
    co_await tx.async_send(job, net::use_awaitable);
  }
}  // the workers receive what is left, and then `closed`

}  // namespace

int main(int argc, char** argv) try {
  const std::size_t workers = argc > 1 ? std::stoul(argv[1]) : 4;
  belfry::shared_memory_manager manager;
  manager.start();
  const std::vector<belfry::shareable_list::value> zeros(workers, std::int64_t{0});
  auto sums = manager.shareable_list(zeros);

  std::vector<pid_t> pids;
  for (std::size_t i = 0; i != workers; ++i)
    pids.push_back(start_worker(manager, sums.shm().name(), i));
  net::io_context io;
  for (std::size_t i = 0; i != workers; ++i)
    net::co_spawn(io, hand_out(io, manager, i, workers), rethrow);
  io.run();
  for (const pid_t pid : pids) {
    int status = 0;
    if (::waitpid(pid, &status, 0) != pid || status != 0)
      throw std::runtime_error("a worker has failed");
  }
  std::int64_t total = 0;
  for (const auto& v : sums) total += std::get<std::int64_t>(belfry::shareable_list::value(v));
  std::cout << "manager_pool: " << workers << " workers, the sum is " << total << std::endl;
  return EXIT_SUCCESS;
} catch (const std::exception& e) {
  std::cerr << "manager_pool: " << e.what() << '\n';
  return EXIT_FAILURE;
}
