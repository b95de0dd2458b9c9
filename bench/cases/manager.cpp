// Blocks that a manager tracks: create and track, open by name, release; with one client, and with eight at
// the same time; against CPython's manager with CPython's clients.
#include "cases.hpp"
#include "../harness/crowd.hpp"
#include "../peers/cpython.hpp"

#include <belfry/shared_memory_manager.hpp>

#include <chrono>
#include <cstddef>
#include <string>
#include <vector>

namespace belfry::bench {
namespace {

constexpr int most_clients = 8;
constexpr std::size_t block_bytes = 4096;
constexpr auto turn = std::chrono::milliseconds(500);

/// Runs for a second.
double rate_of(const shared_memory_manager& manager, int clients) {
  const part client = [&manager](member& me) {
    auto mine = shared_memory_manager::connect(manager.address(), manager.authkey());
    me.ready();
    while (!me.over()) {
      const shared_memory made = mine.shared_memory(block_bytes);
      const shared_memory opened = shared_memory::open(made.name());
      mine.release(made);
      me.done();
    }
  };
  return rate(std::vector<part>(static_cast<std::size_t>(clients), client), turn, placing::anywhere);
}

// CPython's resource tracker, with which every process registers its blocks, is left out: it would only make
// CPython slower.
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
         median_rates({{"belfry", [&] { return rate_of(ours, clients); }}})[0],
         {{"CPython SharedMemoryManager", find(theirs, "clients-" + std::to_string(clients))}}});
  }
  ours.shutdown();
}

}  // namespace belfry::bench
