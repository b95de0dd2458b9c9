// How a bridge ends in its own process.
//
//     nats-endings late URL        the client's last callback comes after the io_context was destroyed
//     nats-endings connecting URL  the io_context is destroyed while the bridge connects
#include <belfry/nats_bridge.hpp>

#include <chrono>
#include <iostream>
#include <semaphore>
#include <string_view>

#include <nats/nats.h>

namespace {

using namespace std::chrono_literals;
namespace net = belfry::net;

void require(bool condition, const char* what) {
  if (condition) return;
  std::cerr << "nats-endings: " << what << '\n';
  std::_Exit(1);
}

/// All connections of a process have one thread for these callbacks. Its callback tells that it was called, and waits.
struct blocker {
  explicit blocker(const char* url) {
    natsOptions* options = nullptr;
    natsConnection* made = nullptr;
    require(natsOptions_Create(&options) == NATS_OK && natsOptions_SetURL(options, url) == NATS_OK &&
                natsOptions_SetTimeout(options, 60'000) == NATS_OK &&
                natsOptions_SetClosedCB(options, [](natsConnection*, void* self) { static_cast<blocker*>(self)->called(); }, this) == NATS_OK &&
                natsConnection_Connect(&made, options) == NATS_OK,
            "connects");
    natsConnection_Destroy(made);
    natsOptions_Destroy(options);
  }
  void called() {
    begun.release();
    may_end.acquire();
    ended.release();
  }

  std::binary_semaphore begun{0};
  std::binary_semaphore may_end{0};
  std::binary_semaphore ended{0};
};

void late(const char* url) {
  blocker first(url);
  first.begun.acquire();
  {
    net::io_context io;
    belfry::nats_options options;
    options.servers = {url};
    belfry::nats_bridge bridge(io, options);
    bool connected = false;
    bridge.on_event([&](const belfry::nats_event& e) {
      if (e.what != belfry::nats_event::kind::connected) return;
      connected = true;
      bridge.close();
    });
    io.run();
    require(connected, "the bridge was connected");
  }
  blocker second(url);  // its callback is behind the bridge's
  first.may_end.release();
  first.ended.acquire();
  second.begun.acquire();
  second.may_end.release();
  second.ended.acquire();
}

void connecting(const char* url) {
  belfry::nats_options options;
  options.servers = {url};
  options.connect_timeout = 300ms;
  for (const auto time : {0ms, 50ms}) {
    net::io_context io;
    belfry::nats_bridge bridge(io, options);
    io.run_for(time);
  }
  net::io_context io;
  {
    belfry::nats_bridge bridge(io, options);
    io.run_for(50ms);
  }
  io.run();  // a bridge that has gone is over when its attempt is
}

}  // namespace

int main(int argc, char** argv) {
  require(argc == 3, "wrong usage");
  const std::string_view what = argv[1];
  require(what == "late" || what == "connecting", "wrong usage");
  (what == "late" ? late : connecting)(argv[2]);
}
