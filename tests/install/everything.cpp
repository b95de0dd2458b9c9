// A user's program that includes every public header and uses every ring. It is compiled with all warnings as
// errors, and the headers are not system headers. It is linked with the installed library, and not run.
#include <belfry/any_channel.hpp>
#include <belfry/asio.hpp>
#include <belfry/belfry.hpp>
#include <belfry/channel.hpp>
#include <belfry/channel_handles.hpp>
#include <belfry/channel_options.hpp>
#include <belfry/collect_garbage.hpp>
#include <belfry/describe.hpp>
#include <belfry/error.hpp>
#include <belfry/inspect.hpp>
#include <belfry/log.hpp>
#include <belfry/manager_options.hpp>
#include <belfry/manager_server.hpp>
#include <belfry/peek.hpp>
#include <belfry/remove.hpp>
#include <belfry/shareable_list.hpp>
#include <belfry/shared_memory.hpp>
#include <belfry/shared_memory_manager.hpp>
#include <belfry/transaction.hpp>
#include <belfry/watch.hpp>

#include <array>
#include <chrono>
#include <cstdint>
#include <iostream>
#include <string>
#include <vector>

namespace {

namespace net = belfry::net;

struct tick {
  std::uint64_t seq;
  double price;
  char text[5];
};

struct connection {
  belfry::native_handle_type native_handle() const { return 0; }
};

template <class Ring>
net::awaitable<void> use(net::io_context& io) {
  using channel = belfry::channel<Ring>;
  typename channel::producer tx(io, "everything");
  typename channel::consumer rx(io, "everything");
  belfry::error_code ec;
  using sendable = typename channel::producer::value_type;
  using received = typename channel::consumer::value_type;

  const sendable value{};
  const std::vector<sendable> values(3);
  tx.try_send(value);
  tx.try_send_n(values);
  tx.send(value, std::chrono::seconds(1));
  co_await tx.async_send(value, net::use_awaitable);
  co_await tx.async_send(value, net::redirect_error(net::use_awaitable, ec));
  co_await tx.async_send_n(values, net::use_awaitable);
  co_await tx.async_wait_peer(net::use_awaitable);
  tx.async_send(value, [](const belfry::error_code&) {});

  std::array<received, 4> in{};
  received one{};
  rx.try_receive();
  rx.try_receive_n(in);
  rx.receive(one, std::chrono::seconds(1));
  one = co_await rx.async_receive(net::use_awaitable);
  one = co_await rx.async_receive(net::redirect_error(net::use_awaitable, ec));
  co_await rx.async_receive_n(in, net::use_awaitable);
  co_await rx.async_wait(net::use_awaitable);
  rx.async_receive([](const belfry::error_code&, const received&) {});
  if (rx.prepare_wait()) rx.finish_wait();
  if (rx.has_peer() && rx.native_handle() != tx.native_handle()) tx.cancel();
  if constexpr (requires { rx.total_lost(); }) {
    if (rx.lost() != rx.total_lost()) rx.close();
  }
  channel::unlink("everything");

  const belfry::channel_handles handles = channel::make_handles();
  connection socket;
  belfry::send_handles(socket, handles);
  const belfry::channel_handles received_handles = belfry::receive_handles(socket);
  typename channel::consumer by_handles(io, handles, ec);
  typename channel::consumer by_manager(io, belfry::shared_memory_manager(io), "everything");
  if constexpr (requires { rx.try_receive_lease(); }) {
    auto lease = co_await rx.async_receive_lease(net::use_awaitable);
    lease.ack();
  }
  if constexpr (requires { tx.try_claim(1); }) {
    auto claim = co_await tx.async_claim(7, net::use_awaitable);
    claim.commit(3);
  }
}

net::awaitable<void> use_any(net::io_context& io) {
  belfry::any_channel::producer tx(io, "everything");
  belfry::any_channel::consumer rx(io, belfry::shared_memory_manager(io), "everything");
  std::array<std::byte, 16> bytes{};
  std::size_t count = 0;
  tx.try_send(bytes);
  tx.send(bytes, std::chrono::seconds(1));
  co_await tx.async_send(net::buffer(bytes), net::use_awaitable);
  tx.async_send(net::buffer(bytes), [](const belfry::error_code&) {});
  rx.try_receive(bytes);
  rx.receive(bytes, count, std::chrono::seconds(1));
  count = co_await rx.async_receive(net::buffer(bytes), net::use_awaitable);
  rx.async_receive(net::buffer(bytes), [](const belfry::error_code&, std::size_t) {});
  co_await rx.async_wait(net::use_awaitable);
  std::cout << tx.info().type << rx.size() << rx.lost() << count;

  belfry::any_channel::client client(io, "everything");
  belfry::any_channel::server server(io, "everything");
  const belfry::message answer = co_await client.async_call(net::buffer(bytes), net::use_awaitable);
  belfry::byte_call call = co_await server.async_accept(net::use_awaitable);
  if (!call.reply(answer.bytes())) call.requeue();
  std::cout << client.info().type << server.info().type;
}

net::awaitable<void> share(net::io_context& io) {
  belfry::shareable_list list{"howdy", belfry::bytes("HoWdY"), -273.154, 100, nullptr, true, 42};
  list[3] = "dry";
  belfry::watch w(io, list.shm());
  const std::uint64_t seen = co_await w.async_changed(w.version(), net::use_awaitable);
  belfry::transaction t = co_await w.async_txn(net::use_awaitable);
  t.as<int>()[0] = static_cast<int>(seen);
  if (w.notify() || w.notify(3) || list == belfry::shareable_list::open("other")) std::cout << list[2];

  belfry::shared_memory_manager manager(io);
  co_await manager.async_connect("@everything", "key", net::use_awaitable);
  auto block = co_await manager.async_shared_memory(128, net::use_awaitable);
  belfry::manager_server server(io, "@everything", "key");
  if (server.is_open() && server.list_segments().empty()) server.close();
  co_await server.async_wait(net::use_awaitable);
  for (const belfry::garbage& g : belfry::collect_garbage({.run_directory = "/nowhere"})) std::cout << g.name;
  belfry::remove("everything", belfry::removal::forced);
  for (const belfry::segment_entry& e : belfry::list_segments())
    std::cout << e.name << belfry::peek(e.name).values.size() << e.alive() << belfry::inspect(e.name).alive(belfry::participant_role::consumer);
}

}  // namespace

int main() {
  net::io_context io;
  net::co_spawn(io, use<belfry::spsc_ring<tick, 16>>(io), net::detached);
  net::co_spawn(io, use<belfry::byte_ring>(io), net::detached);
  net::co_spawn(io, use<belfry::work_ring<tick, 16>>(io), net::detached);
  net::co_spawn(io, use<belfry::broadcast_ring<tick, 16, belfry::overflow::block>>(io), net::detached);
  net::co_spawn(io, use<belfry::broadcast_ring<tick, 16, belfry::overflow::overwrite>>(io), net::detached);
  net::co_spawn(io, use<belfry::latest<tick>>(io), net::detached);
  net::co_spawn(io, use_any(io), net::detached);
  net::co_spawn(io, share(io), net::detached);
}
