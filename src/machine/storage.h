// The disks of storage_devices, while their machine runs, and those that came later.
#pragma once

#include <alcove/devices.h>

#include <cstdint>
#include <map>
#include <memory>
#include <mutex>
#include <optional>
#include <vector>

#include "machine/disk_function.h"
#include "machine/machine.h"
#include "storage/managed_disk.h"

namespace alcove::machine {

class Storage final : public StorageControl {
 public:
  // Somebody who waits for a disk's end.
  struct Detachment {
    uint64_t id = 0;
    bool force = false;
    Completion<> completion;
  };
  // A disk that is being taken out.
  struct Leaving {
    size_t number = 0;
    unsigned slot = 0;
    bool is_ejected = false;
    std::unique_ptr<DiskFunction> function;
    std::vector<Detachment> waiting;
  };

  // The next of those configured; a USB disk has no function, and its driver would not listen. Before the
  // machine runs.
  void add(MadeDisk disk);

  // Disks that come and go, by number. A number that was not used is given back.
  size_t take_number();
  void give_back_number(size_t number);
  void plug(size_t number, MadeDisk disk, unsigned slot);
  // Where it is; an error for one of the others.
  Result<unsigned> slot_of(size_t number) const;
  void add_waiting(size_t number, Detachment detachment);
  bool has_waiting(size_t number) const;
  // Nothing, if it does not wait any more.
  std::optional<Detachment> take_waiting(size_t number, uint64_t id);
  // The guest let go of what is in the slot: its number, the first time.
  std::optional<size_t> eject(unsigned slot);
  // Those that somebody waits for, or that the guest let go of.
  std::vector<size_t> leaving() const;
  // From then on it has no device; what waits for servers that may never answer fails soon.
  std::optional<Leaving> take(size_t number);
  void forget(size_t number);  // When its device is gone.

  Result<> set_limits(size_t number, const StorageDeviceLimits& limits) override;
  Result<> resize(size_t number, uint64_t size) override;
  Result<StorageDeviceStatistics> statistics(size_t number) const override;

  // As of Peripherals. Disks neither come nor go meanwhile.
  void pause();
  void resume();
  void abandon();

 private:
  struct Device {
    std::shared_ptr<storage::DiskControl> control;
    std::unique_ptr<DiskFunction> function;
    std::optional<unsigned> slot = {};  // Of those that came later.
    bool is_ejected = false;
    bool is_taken = false;
    std::vector<Detachment> waiting = {};
  };
  Result<const Device*> find(size_t number) const;
  std::vector<DiskFunction*> functions();
  void set_rushing(bool rushing);

  mutable std::mutex mutex_;  // Guards what follows. Nobody who holds it waits for a disk or a processor.
  std::map<size_t, Device> devices_;
  size_t next_number_ = 0;
};

}  // namespace alcove::machine
