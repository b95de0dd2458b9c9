// Blocks that a manager looks after: create and have tracked, open by name, release; by one client, and by
// eight at the same time; against CPython's manager with CPython's clients.
#include "cases.hpp"
#include "child.hpp"
#include "memory.hpp"
#include "peers/cpython.hpp"
#include "timer.hpp"

#include <belfry/shared_memory_manager.hpp>

#include <algorithm>
#include <array>
#include <atomic>
#include <memory>
#include <string>
#include <vector>

namespace belfry::bench {
namespace {

constexpr int most_clients = 8;
constexpr std::size_t block_bytes = 4096;
constexpr auto turn = std::chrono::milliseconds(500);

struct notes {
  std::atomic<int> ready{0};
  std::atomic<bool> go{false};
  std::atomic<bool> over{false};
  std::array<std::atomic<std::uint64_t>, most_clients> lives{};
};

bool be_client(const std::string& address, const std::string& key, notes& n,
               std::atomic<std::uint64_t>& lives) {
  auto manager = shared_memory_manager::connect(address, key);
  n.ready.fetch_add(1);
  while (!n.go.load()) ::usleep(100);
  while (!n.over.load(std::memory_order_relaxed)) {
    const shared_memory made = manager.shared_memory(block_bytes);
    const shared_memory opened = shared_memory::open(made.name());
    manager.release(made);
    lives.fetch_add(1, std::memory_order_relaxed);
  }
  return true;
}

/// Lives a second.
double rate(const shared_memory_manager& manager, int clients) {
  const inherited<notes> n;
  std::vector<std::unique_ptr<child>> children;
  for (int i = 0; i != clients; ++i) {
    children.push_back(std::make_unique<child>([&, i] {
      return be_client(manager.address(), manager.authkey(), *n,
                       n->lives[static_cast<std::size_t>(i)]);
    }));
  }
  while (n->ready.load() != clients) {
    throw_if_interrupted();
    ::usleep(1000);
  }
  const auto sum = [&] {
    std::uint64_t all = 0;
    for (const auto& one : n->lives) all += one.load();
    return static_cast<double>(all);
  };
  n->go.store(true);
  ::usleep(50'000);
  const auto begin = stopwatch::now();
  const double before = sum();
  ::usleep(static_cast<useconds_t>(std::chrono::microseconds(turn).count()));
  const double result = (sum() - before) / seconds(stopwatch::now() - begin).count();
  n->over.store(true);
  for (const auto& c : children) c->wait(std::chrono::seconds(10));
  return result;
}

double median_rate(const shared_memory_manager& manager, int clients) {
  std::array<double, 5> rates;
  for (double& r : rates) r = rate(manager, clients);
  std::sort(rates.begin(), rates.end());
  return rates[rates.size() / 2];
}

// The tracker of resources, in which every process of CPython's notes its blocks, is left out: it would
// only make it slower.
constexpr const char* in_python = R"(
import multiprocessing, os, time
from multiprocessing import resource_tracker
from multiprocessing.managers import SharedMemoryManager, dispatch
from multiprocessing.shared_memory import SharedMemory
from statistics import median

def client(address, ready, go, over, lives):
    resource_tracker.register = resource_tracker.unregister = lambda *a: None
    manager = SharedMemoryManager(address=address, authkey=b'key')
    manager.connect()
    ready.release()
    go.wait()
    while not over.is_set():
        made = manager.SharedMemory(4096)
        opened = SharedMemory(name=made.name)
        with manager._Client(address, authkey=b'key') as connection:
            dispatch(connection, None, 'release_segment', (made.name,))
        opened.close()
        made.close()
        lives.value += 1

def rate(address, clients):
    ready, go, over = multiprocessing.Semaphore(0), multiprocessing.Event(), multiprocessing.Event()
    lives = [multiprocessing.Value('Q', 0, lock=False) for _ in range(clients)]
    all = [multiprocessing.Process(target=client, args=(address, ready, go, over, l)) for l in lives]
    for c in all: c.start()
    for c in all: ready.acquire()
    go.set()
    time.sleep(0.05)
    begin, before = time.monotonic(), sum(l.value for l in lives)
    time.sleep(0.5)
    result = (sum(l.value for l in lives) - before) / (time.monotonic() - begin)
    over.set()
    for c in all: c.join()
    return result

resource_tracker.register = resource_tracker.unregister = lambda *a: None
manager = SharedMemoryManager(authkey=b'key')
manager.start()
for clients in 1, 8:
    print('clients-%d' % clients, median(rate(manager.address, clients) for _ in range(5)))
manager.shutdown()
)";

}  // namespace

void manager(report& out) {
  const auto theirs = run_cpython(in_python, 1);
  shared_memory_manager ours;
  ours.start();
  for (const int clients : {1, most_clients}) {
    out.add(
        {"manager",
         "op/s",
         {{"clients", clients}},
         figure{median_rate(ours, clients)},
         {{"CPython SharedMemoryManager", find(theirs, "clients-" + std::to_string(clients))}}});
  }
  ours.shutdown();
}

}  // namespace belfry::bench
