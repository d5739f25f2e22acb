// Live displays: their frames lie in memory that the machine's process writes.
#pragma once

#include <alcove/devices.h>
#include <alcove/graphics.h>
#include <alcove/virtual_machine_configuration.h>

#include <functional>
#include <memory>
#include <mutex>
#include <vector>

#include "client/device_requests.h"
#include "display/frame_memory.h"
#include "support/unique_fd.h"

namespace alcove::client {

// What machine and readers share: there as long as one of them is.
class DisplayFiles {
 public:
  static Result<std::shared_ptr<DisplayFiles>> create();

  display::FrameMemory& memory() { return memory_; }
  int changed() const { return changed_.get(); }  // An eventfd that the machine writes.
  // Nothing was shown yet. Only while no machine writes.
  void clear();
  // An eventfd that is written whenever wake() is called, from now on.
  Result<std::shared_ptr<UniqueFd>> add_reader();
  void wake();

 private:
  DisplayFiles(display::FrameMemory memory, UniqueFd changed)
      : memory_(std::move(memory)), changed_(std::move(changed)) {}
  display::FrameMemory memory_;
  UniqueFd changed_;
  std::mutex mutex_;  // Guards readers_.
  std::vector<std::weak_ptr<UniqueFd>> readers_;
};

// By device and scanout of the configuration.
using GraphicsFiles = std::vector<std::vector<std::shared_ptr<DisplayFiles>>>;
Result<GraphicsFiles> open_displays(const VirtualMachineConfiguration& configuration);

class GraphicsDisplayProxy final : public GraphicsDisplay {
 public:
  struct Place {
    size_t device, display;
  };
  // `did_begin` is called on the executor when the guest has been asked for another size.
  GraphicsDisplayProxy(DeviceRequests& requests, Place place,
                       VirtioGraphicsScanoutConfiguration configuration, std::shared_ptr<DisplayFiles> files,
                       std::function<void(GraphicsDisplay&)> did_begin);

  DisplaySize size_in_pixels() const override;
  uint32_t pixels_per_inch() const override;
  void reconfigure(VirtioGraphicsScanoutConfiguration configuration, Completion<> completion) override;
  Result<DisplayFrame> frame() const override;
  Result<std::unique_ptr<DisplayReader>> open_reader() override;

  // What the guest was asked for last.
  DisplaySize asked_size() const;
  // The machine starts: nothing is shown, and nothing but what is configured was asked for.
  void reset();
  // Wakes the readers; tells whether the size is another than at the last call.
  bool changed();
  const std::shared_ptr<DisplayFiles>& files() const { return files_; }

 private:
  DeviceRequests& requests_;
  const Place place_;
  const VirtioGraphicsScanoutConfiguration configured_;
  const std::shared_ptr<DisplayFiles> files_;
  const std::function<void(GraphicsDisplay&)> did_begin_;
  mutable std::mutex mutex_;  // Guards what follows.
  VirtioGraphicsScanoutConfiguration asked_;
  DisplaySize last_size_;
};

class GraphicsDeviceProxy final : public GraphicsDevice {
 public:
  const std::vector<GraphicsDisplay*>& displays() const override { return displays_; }
  void add(std::unique_ptr<GraphicsDisplayProxy> display) {
    displays_.push_back(display.get());
    proxies_.push_back(std::move(display));
  }
  const std::vector<std::unique_ptr<GraphicsDisplayProxy>>& proxies() const { return proxies_; }

 private:
  std::vector<std::unique_ptr<GraphicsDisplayProxy>> proxies_;
  std::vector<GraphicsDisplay*> displays_;
};

}  // namespace alcove::client
