#include "nats_server.hpp"

#include <belfry/detail/platform/native_handle.hpp>

#include <cerrno>
#include <chrono>
#include <cstdio>
#include <filesystem>
#include <stdexcept>
#include <system_error>

#include <arpa/inet.h>
#include <fcntl.h>
#include <netinet/in.h>
#include <sys/socket.h>
#include <unistd.h>

namespace belfry::bench {
namespace {

using detail::unique_handle;

[[noreturn]] void fail(const char* what) { throw std::system_error(errno, std::system_category(), what); }

std::string make_directory() {
  char path[] = "/var/tmp/belfry-bench-nats-XXXXXX";  // /tmp may be memory
  if (::mkdtemp(path) == nullptr) fail("mkdtemp");
  return path;
}

sockaddr_in loopback(int port) {
  sockaddr_in a{};
  a.sin_family = AF_INET;
  a.sin_port = htons(static_cast<in_port_t>(port));
  a.sin_addr.s_addr = htonl(INADDR_LOOPBACK);
  return a;
}

int free_port() {
  const unique_handle s(::socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0));
  sockaddr_in a = loopback(0);
  socklen_t size = sizeof a;
  if (::bind(s.get(), reinterpret_cast<sockaddr*>(&a), size) != 0 ||
      ::getsockname(s.get(), reinterpret_cast<sockaddr*>(&a), &size) != 0)
    fail("bind");
  return ntohs(a.sin_port);
}

bool answers(int port) {
  const unique_handle s(::socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0));
  const sockaddr_in a = loopback(port);
  char first = 0;
  return ::connect(s.get(), reinterpret_cast<const sockaddr*>(&a), sizeof a) == 0 &&
         ::read(s.get(), &first, 1) == 1;
}

}  // namespace

const std::string& nats_server::need() {
  static const nats_server one;
  return one.url_;
}

nats_server::nats_server()
    : owner_(::getpid()),
      directory_(make_directory()),
      port_(free_port()),
      url_("nats://127.0.0.1:" + std::to_string(port_)),
      process_([this] {
        const int nothing = ::open("/dev/null", O_WRONLY | O_CLOEXEC);
        ::dup2(nothing, STDOUT_FILENO);
        ::dup2(nothing, STDERR_FILENO);
        ::execlp("nats-server", "nats-server", "-a", "127.0.0.1", "-p", std::to_string(port_).c_str(), "-js", "-sd",
                 directory_.c_str(), nullptr);
        return false;
      }) {
  for (int i = 0; !answers(port_); ++i) {
    throw_if_interrupted();
    if (process_.has_failed() || i == 2000) {
      std::filesystem::remove_all(directory_);
      throw std::runtime_error("nats-server does not start");
    }
    ::usleep(10'000);
  }
}

nats_server::~nats_server() {
  if (::getpid() != owner_) return;  // a fork of the owner that ends in the same way
  process_.ask_to_end();
  process_.wait(std::chrono::seconds(10));
  std::error_code ignored;
  std::filesystem::remove_all(directory_, ignored);
}

}  // namespace belfry::bench
