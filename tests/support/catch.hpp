// Catch2, version 2 or 3, under the same names. Tests include Catch2 only through this header.
#ifndef BELFRY_TESTS_SUPPORT_CATCH_HPP  // GCC warns of #pragma once in a precompiled header
#define BELFRY_TESTS_SUPPORT_CATCH_HPP

#include <cstdint>
#include <string>

#if __has_include(<catch2/catch_test_macros.hpp>)

#include <catch2/catch_get_random_seed.hpp>
#include <catch2/catch_template_test_macros.hpp>
#include <catch2/catch_test_macros.hpp>
#include <catch2/generators/catch_generators.hpp>
#include <catch2/generators/catch_generators_range.hpp>
#include <catch2/matchers/catch_matchers.hpp>
#include <catch2/matchers/catch_matchers_string.hpp>
#if defined(BELFRY_TEST_LISTENS)
#include <catch2/catch_test_case_info.hpp>
#include <catch2/reporters/catch_reporter_event_listener.hpp>
#include <catch2/reporters/catch_reporter_registrars.hpp>
#endif

namespace belfry::test {

inline auto contains(const std::string& text) { return Catch::Matchers::ContainsSubstring(text); }
inline std::uint32_t random_seed() { return Catch::getSeed(); }
#if defined(BELFRY_TEST_LISTENS)
using test_listener = Catch::EventListenerBase;
#endif

}  // namespace belfry::test

#else

#if defined(BELFRY_TEST_LISTENS)
#define CATCH_CONFIG_EXTERNAL_INTERFACES
#endif
#include <catch2/catch.hpp>

namespace belfry::test {

inline auto contains(const std::string& text) { return Catch::Contains(text); }
inline std::uint32_t random_seed() { return Catch::rngSeed(); }
#if defined(BELFRY_TEST_LISTENS)
using test_listener = Catch::TestEventListenerBase;
#endif

}  // namespace belfry::test

#endif

#endif
