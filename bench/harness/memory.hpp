// Memory that both processes inherit, and unique names.
#pragma once

#include <belfry/belfry.hpp>

#include <cerrno>
#include <new>
#include <optional>
#include <string>
#include <string_view>
#include <system_error>

#include <sys/mman.h>

namespace belfry::bench {

/// `belfry-bench-<pid>-<count>-<what>`
std::string unique_name(std::string_view what);

/// An object in a mapping that is shared across a fork. Never destroyed.
template <class T>
class inherited {
 public:
  inherited() : at_(map()), object_(new (at_) T{}) {}
  ~inherited() { ::munmap(at_, sizeof(T)); }
  inherited(const inherited&) = delete;
  inherited& operator=(const inherited&) = delete;

  T* operator->() const noexcept { return object_; }
  T& operator*() const noexcept { return *object_; }

 private:
  static void* map() {
    void* const at = ::mmap(nullptr, sizeof(T), PROT_READ | PROT_WRITE,
                            MAP_SHARED | MAP_ANONYMOUS | MAP_POPULATE, -1, 0);
    if (at == MAP_FAILED) throw std::system_error(errno, std::system_category(), "mmap");
    return at;
  }

  void* at_;
  T* object_;
};

/// A channel in which the two processes meet; removed by the process that constructed this object.
template <class Channel>
class meeting_point {
 public:
  enum class by { name, handles };

  explicit meeting_point(std::string_view what, by how = by::name) : name_(unique_name(what)) {
    if (how == by::handles) handles_.emplace(Channel::make_handles());
  }
  ~meeting_point() {
    error_code ignored;  // usually the last participant has removed it already
    if (!handles_) Channel::unlink(name_, ignored);
  }
  meeting_point(const meeting_point&) = delete;
  meeting_point& operator=(const meeting_point&) = delete;

  template <class Context>
  auto producer(Context& io, const channel_options& options = {}) const {
    using endpoint = typename Channel::producer;
    return handles_ ? endpoint(io, *handles_, options) : endpoint(io, name_, options);
  }
  template <class Context>
  auto consumer(Context& io, const channel_options& options = {}) const {
    using endpoint = typename Channel::consumer;
    return handles_ ? endpoint(io, *handles_, options) : endpoint(io, name_, options);
  }

 private:
  std::string name_;
  std::optional<channel_handles> handles_;
};

}  // namespace belfry::bench
