// What most of the sources include, compiled once.
#ifndef BELFRY_SRC_PCH_ASIO_HPP  // GCC warns of #pragma once in a precompiled header
#define BELFRY_SRC_PCH_ASIO_HPP

#include <belfry/asio.hpp>

#endif
