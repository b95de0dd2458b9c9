// A user's program that shares an io_context with the library; settings.sh compiles it in several ways.
#include <belfry/manager_server.hpp>

int main() {
  belfry::net::io_context io;
  belfry::manager_server server(io, "@belfry-test-settings", "key");
}
