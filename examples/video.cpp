// A camera, and three programs that look at its frames where it has put them: no frame is copied, whatever its size.
//
//   video camera [NAME] [--frames N]     60 frames a second, of 100 KB to 1 MB; N in all, or until Ctrl-C
//   video recorder [NAME]                takes every frame
//   video display [NAME]                 takes the newest frame, 30 times a second
//   video detector [NAME]                takes the newest frame, and works on it for 100 ms; these three for ever, or,
//                                        with --once, until the camera goes
//   video demo                           all four, for two seconds; also without any argument
//
// Start them in any order, stop any of them with Ctrl-C or kill it, and start it again: the others continue. The camera
// waits for none of them, and overwrites no frame that one of them is looking at. Each shows a line per second.
#include "net.hpp"
#include "process.hpp"

#include <algorithm>
#include <chrono>
#include <cstdio>
#include <cstdlib>
#include <cstring>
#include <iostream>
#include <string>
#include <thread>
#include <vector>

using video = belfry::channel<belfry::byte_broadcast_ring<belfry::overflow::overwrite>>;

namespace {

using namespace std::chrono_literals;
using clock_type = std::chrono::steady_clock;  // the same one in all processes

/// At the beginning of every frame; its picture follows.
struct frame_header {
  std::uint64_t number;
  clock_type::time_point taken;
};

struct options {
  std::string name = "video";
  std::uint64_t frames = UINT64_MAX;
  bool once = false;
};

void say(const char* who, const std::string& what) { std::cout << who << ": " << what << std::endl; }

std::size_t picture_bytes(std::uint64_t number) { return 100'000 + number * 7919 % 900'000; }

/// Every 4096th byte: all of them would take longer than everything else in this program.
void paint(std::span<std::byte> picture, std::uint64_t number) {
  for (std::size_t i = 0; i < picture.size(); i += 4096) picture[i] = static_cast<std::byte>(number + i / 4096);
}
bool is_whole(std::span<const std::byte> picture, std::uint64_t number) {
  if (picture.size() != picture_bytes(number)) return false;
  for (std::size_t i = 0; i < picture.size(); i += 4096) {
    if (picture[i] != static_cast<std::byte>(number + i / 4096)) return false;
  }
  return true;
}

/// What one program has done, printed once per second.
struct statistics {
  const char* who;
  std::uint64_t frames = 0;
  std::uint64_t bytes = 0;
  std::uint64_t skipped = 0;
  std::uint64_t damaged = 0;
  std::vector<double> latencies{};  // microseconds, of the last second

  net::awaitable<void> show() {
    net::steady_timer timer(co_await net::this_coro::executor);
    for (auto next = clock_type::now();;) {
      const std::uint64_t before = frames;
      const std::uint64_t bytes_before = bytes;
      timer.expires_at(next += 1s);
      co_await timer.async_wait(net::use_awaitable);
      std::printf("%s: %3llu frames/s, %6.1f MB/s", who, static_cast<unsigned long long>(frames - before),
                  static_cast<double>(bytes - bytes_before) / 1e6);
      if (!latencies.empty()) {
        std::ranges::sort(latencies);
        std::printf(", latency %.0f us, at most %.0f us", latencies[latencies.size() / 2], latencies.back());
        latencies.clear();
      }
      std::printf("\n");
      std::fflush(stdout);
    }
  }
  void end() const {
    say(who, std::to_string(frames) + " frames in all, " + std::to_string(skipped) + " skipped, " +
                 std::to_string(damaged) + " damaged, " + std::to_string(bytes) + " bytes, 0 of them copied");
  }
};

/// Writes every frame where its readers will find it.
net::awaitable<void> shoot(video::producer& tx, const options& o, statistics& s) {
  constexpr auto period = std::chrono::nanoseconds(1s) / 60;
  net::steady_timer timer(co_await net::this_coro::executor);
  auto next = clock_type::now();
  for (std::uint64_t number = 0; number != o.frames; ++number) {
    timer.expires_at(next += period);
    co_await timer.async_wait(net::use_awaitable);
    const std::size_t bytes = sizeof(frame_header) + picture_bytes(number);
    belfry::claim room;
    while (!room) {  // immediately, unless the readers hold all places
      belfry::error_code ec;
      room = co_await tx.async_claim(bytes, net::redirect_error(net::use_awaitable, ec));
      // A reader that held one has gone meanwhile, and holds it no longer.
      if (ec && ec != belfry::errc::peer_died && ec != belfry::errc::closed) throw belfry::net_system_error(ec);
    }
    const frame_header header{number, clock_type::now()};
    std::memcpy(room.bytes().data(), &header, sizeof header);
    paint(room.bytes().subspan(sizeof header), number);
    room.commit();
    ++s.frames;
    s.bytes += bytes;
  }
}

/// Looks at a frame in place.
void look(const belfry::message& frame, statistics& s, std::uint64_t& next) {
  frame_header header{};
  std::memcpy(&header, frame.bytes().data(), sizeof header);
  if (header.number > next && s.frames != 0) s.skipped += header.number - next;
  next = header.number + 1;  // a camera that was started again begins at 0
  ++s.frames;
  s.bytes += frame.size();
  s.latencies.push_back(std::chrono::duration<double, std::micro>(clock_type::now() - header.taken).count());
  if (!is_whole(frame.bytes().subspan(sizeof header), header.number)) ++s.damaged;
}

enum class reader { recorder, display, detector };

net::awaitable<void> watch(video::consumer& rx, reader which, bool once, statistics& s) {
  net::steady_timer timer(co_await net::this_coro::executor);
  std::uint64_t next = 0;
  for (;;) {
    belfry::error_code ec;
    const auto token = net::redirect_error(net::use_awaitable, ec);
    belfry::message frame;
    if (which == reader::recorder) {
      frame = co_await rx.async_receive(token);
    } else {
      frame = co_await rx.async_receive_newest(token);
    }
    if (!ec) {
      look(frame, s, next);
      if (which == reader::recorder) continue;
      timer.expires_after(which == reader::display ? 33ms : 100ms);
      co_await timer.async_wait(net::use_awaitable);  // the frame is held meanwhile
    } else if (ec == belfry::errc::lagged) {
      say(s.who, std::to_string(rx.lost()) + " frames were overwritten");
    } else if (ec == belfry::errc::peer_died || ec == belfry::errc::closed) {
      say(s.who, ec == belfry::errc::closed ? "the camera is off" : "the camera was killed");
      if (once) co_return;
      if (ec == belfry::errc::closed) co_await rx.async_wait_peer(net::use_awaitable);
    } else {
      throw belfry::net_system_error(ec);
    }
  }
}

/// Runs `work` and the statistics until the work is done, or a signal stops it.
void run(net::io_context& io, net::awaitable<void> work, statistics& s) {
  net::signal_set signals(io, SIGINT, SIGTERM, hang_up);
  signals.async_wait([&](belfry::error_code, int) { io.stop(); });
  net::co_spawn(io, s.show(), rethrow);
  net::co_spawn(io, std::move(work), [&](std::exception_ptr e) {
    io.stop();
    rethrow(e);
  });
  io.run();
  s.end();
}

belfry::channel_options ring() {
  belfry::channel_options o;
  o.slots = 32;  // half a second
  o.message_bytes = sizeof(frame_header) + 1'000'000;
  return o;
}

void run_camera(const options& o) {
  net::io_context io;
  video::producer tx(io, o.name, ring());
  statistics s{"camera"};
  run(io, shoot(tx, o, s), s);
}

void run_reader(const options& o, reader which) {
  net::io_context io;
  video::consumer rx(io, o.name, ring());
  statistics s{which == reader::recorder ? "recorder" : which == reader::display ? "display" : "detector"};
  run(io, watch(rx, which, o.once, s), s);
}

void run_demo() {
  options o;
  o.name = "video-demo-" + own_number();
  o.frames = 120;
  std::vector<process> readers;
  for (const char* const which : {"recorder", "display", "detector"})
    readers.emplace_back(std::vector<std::string>{which, o.name, "--once"});
  {
    net::io_context io;
    video::producer tx(io, o.name, ring());
    while (belfry::inspect(o.name).alive(belfry::participant_role::consumer) != readers.size())
      std::this_thread::sleep_for(1ms);
    statistics s{"camera"};
    run(io, shoot(tx, o, s), s);
  }
  for (process& reader : readers) {
    if (!reader.wait()) throw std::runtime_error("a reader has failed");
  }
}

options parse(const std::vector<std::string>& args) {
  options o;
  for (std::size_t i = 0; i != args.size(); ++i) {
    if (args[i] == "--once") {
      o.once = true;
      continue;
    }
    if (args[i] != "--frames") {
      o.name = args[i];
      continue;
    }
    o.frames = i + 1 == args.size() ? 0 : std::strtoull(args[++i].c_str(), nullptr, 10);
    if (o.frames == 0) throw std::runtime_error("--frames wants a number");
  }
  return o;
}

}  // namespace

int main(int argc, char** argv) try {
  const std::string role = argc > 1 ? argv[1] : "demo";
  const options o = parse({argv + (argc > 1 ? 2 : 1), argv + argc});
  if (role == "camera") {
    run_camera(o);
  } else if (role == "recorder") {
    run_reader(o, reader::recorder);
  } else if (role == "display") {
    run_reader(o, reader::display);
  } else if (role == "detector") {
    run_reader(o, reader::detector);
  } else if (role == "demo") {
    run_demo();
  } else {
    std::cerr << "usage: video camera [NAME] [--frames N]\n"
                 "       video recorder | display | detector [NAME] [--once]\n"
                 "       video demo\n";
    return EXIT_FAILURE;
  }
  return EXIT_SUCCESS;
} catch (const std::exception& e) {
  std::cerr << "video: " << e.what() << '\n';
  return EXIT_FAILURE;
}
