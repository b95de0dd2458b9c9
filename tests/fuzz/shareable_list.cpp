// libFuzzer: any bytes as the block of a list. The result is a list or an error, and never a read or write
// outside the block.
#include <belfry/shareable_list.hpp>

#include <algorithm>
#include <cstdlib>
#include <cstring>
#include <string>
#include <vector>

#include <unistd.h>

namespace {

using belfry::shareable_list;

constexpr std::size_t longest = 4096;  // a page: what lies beyond is not mapped

struct blocks {
  blocks() {
    const shareable_list list{"howdy", belfry::bytes("HoWdY"), -273.154, 100, nullptr, true, "\xc3\xa4"};
    const auto bytes = list.shm().buf();
    valid.assign(bytes.begin(), bytes.end());
    belfry::shared_memory::unlink(list.shm().name());
  }
  ~blocks() { belfry::shared_memory::unlink(block.name()); }

  std::vector<std::byte> valid;
  belfry::shared_memory block = belfry::shared_memory::create(
      "belfry-test-fuzz-" + std::to_string(::getpid()), longest);
};

blocks& all() {
  static blocks instance;
  return instance;
}

template <class Function>
void attempt(Function f) {
  try {
    f();
  } catch (const std::exception&) {  // the bytes are malformed
  }
}

}  // namespace

extern "C" std::size_t LLVMFuzzerMutate(std::uint8_t* data, std::size_t size, std::size_t max);

// Begins with a valid list; random bytes would take long to become one.
extern "C" std::size_t LLVMFuzzerCustomMutator(std::uint8_t* data, std::size_t size, std::size_t max,
                                               unsigned) {
  if (size < 8 && max >= all().valid.size()) {
    size = all().valid.size();
    std::memcpy(data, all().valid.data(), size);
  }
  return LLVMFuzzerMutate(data, size, max);
}

extern "C" int LLVMFuzzerTestOneInput(const std::uint8_t* data, std::size_t size) {
  belfry::shared_memory& block = all().block;
  size = std::min(size, longest);
  if (::ftruncate(block.native_handle(), static_cast<off_t>(size)) != 0) std::abort();
  if (size != 0) std::memcpy(block.buf().data(), data, size);

  belfry::error_code ec;
  shareable_list list = shareable_list::open(block.name(), belfry::access::read_write, ec);
  if (ec) return 0;
  if (list.size() > size) std::abort();
  attempt([&] { list.to_vector(); });
  attempt([&] { list.count(100); });
  if (list.size() != 0) {
    const std::size_t i = data[size - 1] % list.size();
    attempt([&] {
      const shareable_list::value news[] = {nullptr, 42, 2.5, "text", belfry::bytes("12345678")};
      const shareable_list::value& value = news[data[size / 2] % std::size(news)];
      list[i] = value;
      if (list.at(i) != value) std::abort();
    });
  }
  return 0;
}
