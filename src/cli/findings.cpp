#include "findings.hpp"

#include "text.hpp"

#include <algorithm>
#include <chrono>
#include <thread>

namespace belfry::cli {
namespace {

std::string title(const participant_info& p, const channel_info& info) {
  return std::string("the ") + role_name(p.role, info) + " in slot " + std::to_string(p.slot) + " (process " +
         std::to_string(p.pid) + ")";
}

/// Whether some consumer is alive and does not sleep.
bool any_consumer_awake(const channel_info& info) {
  return std::ranges::any_of(info.participants, [](const participant_info& p) {
    return p.alive && p.role == participant_role::consumer && !p.parked && !p.notified;
  });
}

void about_block(const channel_info& info, std::vector<std::string>& found) {
  if (info.orphaned) found.push_back("its block is gone, or another block has its name");
  if (info.dirty) {
    found.push_back(info.alive() != 0
                        ? "a transaction is held, or its holder has died, which the next one is told"
                        : "the holder of a transaction has died, which the next one is told");
  }
}

void about_calls(const channel_info& info, std::vector<std::string>& found) {
  const bool servers = info.alive(participant_role::consumer) != 0;
  if (info.alive(participant_role::producer) == 0)
    found.push_back("no client is alive: nothing is called until one joins");
  if (!servers) found.push_back("no server is alive: calls wait for the next one, or end");
  if (!info.unread || *info.unread == 0) return;
  if (servers && any_consumer_awake(info))
    found.push_back("there are calls, and a server is awake: it works on one, or it has no accept pending");
  if (*info.unread >= info.capacity) found.push_back("every place has a call: clients wait until one has ended");
}

void about_flow(const channel_info& info, std::vector<std::string>& found) {
  const bool producers = info.alive(participant_role::producer) != 0;
  const bool consumers = info.alive(participant_role::consumer) != 0;
  const bool state = info.kind == "latest";
  if (info.kind == "watch") return about_block(info, found);
  if (has_calls(info)) return about_calls(info, found);
  if (!producers) found.push_back("no producer is alive: nothing is sent until one joins");
  if (!consumers) found.push_back("no consumer is alive: what is sent waits for the next one");
  if (!info.unread) return;
  if (producers && consumers && *info.unread == 0) {
    found.push_back(
        "nothing is unread: the producer has sent nothing that a consumer has not received");
  }
  if (!state && consumers && *info.unread != 0 && any_consumer_awake(info)) {
    found.push_back(
        "something is unread, and a consumer is awake: it is busy, or it has no receive pending");
  }
  if (!state && !info.overwrites && info.kind != "byte_ring" && *info.unread >= info.capacity) {
    found.push_back("the ring is full: producers wait until a consumer has received something");
  }
}

}  // namespace

const char* text_of(diagnosis::level l) {
  switch (l) {
    case diagnosis::level::ok: return "ok";
    case diagnosis::level::note: return "note";
    case diagnosis::level::broken: break;
  }
  return "broken";
}

bool is_segment(const channel_info& info) { return info.version != 0 && info.kind != "unknown"; }

bool has_dead_items(const channel_info& info) { return info.kind == "work_ring" || info.kind == "byte_work_ring"; }

bool has_calls(const channel_info& info) { return info.kind == "call_ring"; }

const char* role_name(participant_role role, const channel_info& info) {
  if (has_calls(info)) return role == participant_role::producer ? "client" : "server";
  return role == participant_role::producer ? "producer" : "consumer";
}

std::size_t dead_participants(const channel_info& info) {
  return info.participants.size() - info.alive();
}

bool stays_locked(const std::string& name) {
  for (int attempt = 0; attempt != 20; ++attempt) {
    error_code ec;
    if (!inspect(name, ec).roster_locked) return false;
    std::this_thread::sleep_for(std::chrono::milliseconds(5));
  }
  return true;
}

std::vector<std::string> findings(const channel_info& info) {
  std::vector<std::string> found;
  if (!is_segment(info)) return found;
  if (info.problem.empty()) about_flow(info, found);
  for (const participant_info& p : info.participants) {
    if (!p.alive) {
      found.push_back(title(p, info) +
                      " has died: the next participant that sleeps or joins frees its place" +
                      (info.alive() == 0 ? ", or `belfry gc` removes the channel" : ""));
    } else if (p.notified) {
      found.push_back(title(p, info) +
                      " was notified and has not woken yet: it is busy, stopped, or its io_context "
                      "does not run");
    }
  }
  if (info.roster_locked) {
    found.push_back(
        "the roster is locked: if it stays so, a process was stopped while it joined or left; "
        "until it continues (kill -CONT) none can join");
  }
  return found;
}

}  // namespace belfry::cli
