// What every test includes, compiled once.
#ifndef BELFRY_TESTS_SUPPORT_PCH_HPP  // GCC warns of #pragma once in a precompiled header
#define BELFRY_TESTS_SUPPORT_PCH_HPP

#include <belfry/belfry.hpp>

#if defined(BELFRY_BOOST_ASIO)
#include <boost/asio.hpp>
#include <boost/asio/experimental/awaitable_operators.hpp>
#else
#include <asio.hpp>
#include <asio/experimental/awaitable_operators.hpp>
#if ASIO_VERSION < 102300
#include <asio/experimental/as_tuple.hpp>
#include <asio/experimental/deferred.hpp>
#endif
#endif

#include "catch.hpp"

#endif
