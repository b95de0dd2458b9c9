// Must not compile with REFUSED, and must compile without.
#include <belfry/ring/broadcast_ring.hpp>
#include <belfry/ring/latest.hpp>
#include <belfry/ring/spsc_ring.hpp>
#include <belfry/ring/work_ring.hpp>
#include <belfry/transaction.hpp>

#include <array>
#include <string_view>

struct job {
  int number;
  std::array<std::string_view, 2> arguments;
};

#if !defined(REFUSED)
#define REFUSED 0
template <>
inline constexpr bool belfry::shareable<job> = true;
#endif

#if REFUSED == 0 || REFUSED == 1
template class belfry::spsc_ring<job, 4>;
#endif
#if REFUSED == 0 || REFUSED == 2
template class belfry::work_ring<job, 4>;
#endif
#if REFUSED == 0 || REFUSED == 3
template class belfry::broadcast_ring<job, 4>;
#endif
#if REFUSED == 0 || REFUSED == 4
template class belfry::latest<job>;
#endif
#if REFUSED == 0 || REFUSED == 5
std::span<job> elements(const belfry::transaction& t) { return t.as<job>(); }
#endif
