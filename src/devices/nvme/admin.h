// The admin commands (NVM Express 1.4, section 5) and what they make: queues, features, events.
#pragma once

#include <array>
#include <cstdint>
#include <deque>
#include <map>
#include <memory>
#include <mutex>
#include <optional>
#include <vector>

#include "devices/nvme/io_queue.h"
#include "devices/nvme/options.h"

namespace alcove::devices::nvme {

// Belongs to the controller's own thread, but for the doorbells.
class Admin {
 public:
  Admin(Shared& shared, const Options& options, unsigned vectors)
      : shared_(shared), options_(options), vectors_(vectors) {}

  // What became of a command: its completion's status and first dword; nothing for a request that waits for
  // an event.
  struct Outcome {
    uint16_t status = 0;
    uint32_t dword0 = 0;
  };
  std::optional<Outcome> execute(const Command& command);
  // Something went wrong that the driver should hear of (Figure 147: of the type "error").
  void add_error(uint8_t information);
  // The namespace has other attributes, such as its size (Figure 149: a notice).
  void add_namespace_change();
  // A waiting request's completion, if there is an event for it: its id and outcome.
  struct Event {
    uint16_t id;
    uint32_t dword0;
  };
  std::optional<Event> next_event();

  // Ends all queues; everything is as after power-on.
  void reset();
  void pause();
  void resume();

  // Doorbells of the queues from 1 on. Any thread; gives the event that a wrong one makes.
  std::optional<uint8_t> ring_submission(uint32_t id, uint32_t tail);
  std::optional<uint8_t> ring_completion(uint32_t id, uint32_t head);

 private:
  Outcome create_completion_queue(const Command& command);
  Outcome create_submission_queue(const Command& command);
  Outcome delete_completion_queue(const Command& command);
  Outcome delete_submission_queue(const Command& command);
  Outcome identify(const Command& command);
  Outcome get_log_page(const Command& command);
  Outcome set_feature(const Command& command);
  Outcome get_feature(const Command& command);
  Outcome configure_doorbells(const Command& command);
  // The ring that a command asks for, or the status that it fails with.
  std::expected<Ring, uint16_t> ring_of(const Command& command, uint32_t entry_size, bool written) const;
  uint16_t queue_id(const Command& command) const;
  void use_shadow(Doorbell& doorbell, unsigned index) const;
  bool has_queues() const;

  Shared& shared_;
  const Options& options_;
  const unsigned vectors_;
  std::map<uint8_t, uint32_t> features_;  // Those set, that are but remembered.
  std::deque<uint16_t> event_requests_;   // Ids of commands.
  // Of one type (section 5.2): told once, and then not again until its log page has been read.
  struct EventType {
    uint8_t type;
    uint8_t log_page;
    std::optional<uint8_t> information = {};  // Not told yet.
    bool masked = false;
  };
  void add_event(EventType& type, uint8_t information);
  EventType errors_{spec::nvme::kEventError, spec::nvme::kLogErrors};
  EventType notices_{spec::nvme::kEventNotice, spec::nvme::kLogChangedNamespaces};
  bool namespace_changed_ = false;                       // Since that log page was read.
  std::optional<std::pair<uint64_t, uint64_t>> shadow_;  // Doorbells and events in guest memory.

  std::mutex mutex_;  // Guards the tables against doorbells.
  std::array<std::shared_ptr<CompletionQueue>, kMostQueuePairs + 1>
      completion_queues_;  // By id; 0 is not here.
  std::array<std::shared_ptr<IoQueue>, kMostQueuePairs + 1> submission_queues_;
};

}  // namespace alcove::devices::nvme
