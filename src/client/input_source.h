// Where an application's input events come in: knows what each source holds down.
#pragma once

#include <alcove/input.h>

#include <bitset>
#include <cstdint>
#include <deque>
#include <memory>
#include <mutex>
#include <utility>

namespace alcove::client {

// The machine, as sources see it.
class InputTarget {
 public:
  virtual ~InputTarget() = default;
  // Counts the machine's starts: a new one has nothing pressed.
  virtual uint64_t run_number() const = 0;
  // `releases` tells that it ends what an earlier event began; it is never refused for want of room.
  virtual Result<> send_input(const InputEvent& event, bool releases) = 0;
};

// Events that the machine's process has not been sent yet. For one thread at a time.
class InputOutbox {
 public:
  static constexpr size_t kMost = 1024;

  // False where there is no room.
  bool push(const InputEvent& event, bool releases);
  std::deque<InputEvent> take() { return std::exchange(events_, {}); }
  bool empty() const { return events_.empty(); }

 private:
  std::deque<InputEvent> events_;
};

}  // namespace alcove::client

namespace alcove {

class InputSource::Implementation {
 public:
  explicit Implementation(std::weak_ptr<client::InputTarget> target) : target_(std::move(target)) {}
  ~Implementation() { release_all(); }

  Result<> send(const InputEvent& event);
  void release_all();

 private:
  // Whether the event changes anything, whether it releases, and what is held after it.
  struct Effect {
    bool matters = true;
    bool releases = false;
  };
  Effect effect(const KeyEvent& event) const;
  Effect effect(const PointerEvent& event) const;
  Effect effect(const TouchEvent& event) const;
  Effect effect(const GestureEvent& event) const;
  void note(const KeyEvent& event);
  void note(const PointerEvent& event);
  void note(const TouchEvent& event);
  void note(const GestureEvent& event);
  void forget();
  void forget_other_runs(const client::InputTarget& target);

  const std::weak_ptr<client::InputTarget> target_;
  std::mutex mutex_;  // Guards what follows.
  uint64_t run_number_ = 0;
  std::bitset<0x10000> keys_;
  PointerEvent pointer_;
  bool touches_ = false;
  bool gesture_ = false;
};

}  // namespace alcove
