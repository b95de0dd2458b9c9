// Belfry: programs on one machine that share memory and wait for each other asynchronously.
#pragma once

#include <belfry/asio.hpp>
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
#include <belfry/ring/broadcast_ring.hpp>
#include <belfry/ring/byte_ring.hpp>
#include <belfry/ring/latest.hpp>
#include <belfry/ring/lease.hpp>
#include <belfry/ring/message.hpp>
#include <belfry/ring/ring.hpp>
#include <belfry/ring/spsc_ring.hpp>
#include <belfry/ring/work_ring.hpp>
#include <belfry/shareable.hpp>
#include <belfry/shareable_list.hpp>
#include <belfry/shared_memory.hpp>
#include <belfry/shared_memory_manager.hpp>
#include <belfry/transaction.hpp>
#include <belfry/watch.hpp>
