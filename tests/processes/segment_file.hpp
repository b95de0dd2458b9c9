// A second, independent mapping of a named segment: to see which participants sleep, and to damage it.
#pragma once

#include "support/process.hpp"

#include <belfry/detail/layout/layout.hpp>
#include <belfry/detail/segment/parking.hpp>

#include <filesystem>
#include <fstream>
#include <string>
#include <string_view>
#include <vector>

#include <fcntl.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include <unistd.h>

namespace belfry::test {

inline std::string path_of(std::string_view name) { return "/dev/shm/" + std::string(name); }

inline std::vector<char> content_of(const std::string& name) {
  std::ifstream in(path_of(name), std::ios::binary);
  return {std::istreambuf_iterator<char>(in), std::istreambuf_iterator<char>()};
}

inline void write_file(const std::string& name, const std::vector<char>& content) {
  std::ofstream out(path_of(name), std::ios::binary);
  out.write(content.data(), static_cast<std::streamsize>(content.size()));
}

class segment_file {
 public:
  explicit segment_file(std::string_view name)
      : segment_file(::open(path_of(name).c_str(), O_RDWR | O_CLOEXEC)) {}
  /// Takes the descriptor over.
  explicit segment_file(int fd) : fd_(fd) {
    struct stat status {};
    if (fd_ == -1 || ::fstat(fd_, &status) != 0) throw unexpected("no such segment");
    bytes_ = static_cast<std::size_t>(status.st_size);
    void* const memory = ::mmap(nullptr, bytes_, PROT_READ | PROT_WRITE, MAP_SHARED, fd_, 0);
    if (memory == MAP_FAILED) throw std::bad_alloc();
    memory_ = static_cast<std::byte*>(memory);
    ring_offset_ = header().id.ring_offset;
  }
  segment_file(const segment_file&) = delete;
  segment_file& operator=(const segment_file&) = delete;
  ~segment_file() {
    ::munmap(memory_, bytes_);
    ::close(fd_);
  }

  int descriptor() const noexcept { return fd_; }
  std::byte* data() const noexcept { return memory_; }
  std::size_t size() const noexcept { return bytes_; }
  /// Where the ring began when this was made.
  std::byte* ring() const noexcept { return memory_ + ring_offset_; }

  layout::control_header& header() const noexcept {
    return *reinterpret_cast<layout::control_header*>(memory_);
  }
  layout::participant_slot& slot(std::size_t i) const noexcept {
    return reinterpret_cast<layout::participant_slot*>(memory_ + sizeof(layout::control_header))[i];
  }
  layout::participant_slot& slot(layout::role r) const noexcept {
    return slot(static_cast<std::size_t>(r));  // in a ring for one producer and one consumer
  }
  bool live(layout::role r) const noexcept {
    return slot(r).control.load(std::memory_order_acquire).state == layout::slot_state::live;
  }
  bool asleep(layout::role r) const noexcept {
    return detail::state_of(slot(r).park.load(std::memory_order_acquire)) ==
        layout::park_state::parked;
  }

 private:
  int fd_;
  std::byte* memory_ = nullptr;
  std::size_t bytes_ = 0;
  std::size_t ring_offset_ = 0;
};

/// Waits until the segment exists.
inline void await_segment(const std::string& name) {
  await([&] { return std::filesystem::exists(path_of(name)); });
}

/// Waits until the participant of this role really sleeps. There is no event for that: Belfry reports
/// everything else.
inline void await_sleep(const std::string& name, layout::role r, const child& who) {
  await_segment(name);
  const segment_file file(name);
  await([&] { return file.live(r) && file.asleep(r); });
  await([&] {
    std::ifstream in("/proc/" + std::to_string(who.pid()) + "/stat");
    std::string stat((std::istreambuf_iterator<char>(in)), std::istreambuf_iterator<char>());
    const std::size_t end = stat.rfind(')');
    return end != stat.npos && end + 2 < stat.size() && stat[end + 2] == 'S';
  });
}

}  // namespace belfry::test
