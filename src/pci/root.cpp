#include "pci/root.h"

#include <fmt/format.h>

#include <algorithm>
#include <cstring>

namespace alcove::pci {

using namespace spec::pci;

// A wire that several functions drive is up while any of them drives it.
class Root::SharedLine {
 public:
  explicit SharedLine(bus::InterruptLine& line) : line_(line) {}

  class Tap final : public bus::InterruptLine {
   public:
    explicit Tap(SharedLine& shared) : shared_(shared) {}
    void set(bool asserted) override {
      std::lock_guard lock(shared_.mutex_);
      if (asserted == asserted_) return;
      asserted_ = asserted;
      shared_.count_ += asserted ? 1 : -1;
      if (shared_.count_ == (asserted ? 1 : 0)) shared_.line_.set(asserted);
    }

   private:
    SharedLine& shared_;
    bool asserted_ = false;
  };

 private:
  bus::InterruptLine& line_;
  std::mutex mutex_;
  int count_ = 0;
};

// BARs are few, so a scan beats any structure that would need a lock when one moves.
template <class Use>
bus::Access Root::with_bar(uint64_t address, size_t size, Use use) const {
  for (const Route& route : routes_) {
    const uint64_t offset = address - route.bar->address.load(std::memory_order_relaxed);
    if (offset < route.bar->size && size <= route.bar->size - offset) {
      return use(*route.function, route.bar->index, offset);
    }
  }
  return bus::Access::no_register;
}

class Root::ApertureDevice final : public bus::Device {
 public:
  ApertureDevice(Root& root, uint64_t base) : root_(root), base_(base) {}
  bus::Access read(uint64_t offset, std::span<std::byte> data) override {
    return root_.with_bar(base_ + offset, data.size(),
                          [&](Function& function, unsigned bar, uint64_t within) {
                            return function.read_bar(bar, within, data);
                          });
  }
  bus::Access write(uint64_t offset, std::span<const std::byte> data) override {
    return root_.with_bar(base_ + offset, data.size(),
                          [&](Function& function, unsigned bar, uint64_t within) {
                            return function.write_bar(bar, within, data);
                          });
  }

 private:
  Root& root_;
  uint64_t base_;
};

// PCI Express Base, section 7.2.2: bus in bits 27:20, device 19:15, function 14:12, register 11:0.
class Root::EcamDevice final : public bus::Device {
 public:
  explicit EcamDevice(Root& root) : root_(root) {}
  bus::Access read(uint64_t offset, std::span<std::byte> data) override {
    if (data.size() > 4 || offset % data.size()) return bus::Access::bad_size;
    root_.read_configuration(static_cast<uint32_t>(offset), data);
    return bus::Access::done;
  }
  bus::Access write(uint64_t offset, std::span<const std::byte> data) override {
    if (data.size() > 4 || offset % data.size()) return bus::Access::bad_size;
    root_.write_configuration(static_cast<uint32_t>(offset), data);
    return bus::Access::done;
  }

 private:
  Root& root_;
};

class Root::AddressPort final : public bus::Device {
 public:
  explicit AddressPort(Root& root) : root_(root) {}
  bus::Access read(uint64_t offset, std::span<std::byte> data) override {
    if (is_reset_control(offset, data.size())) return root_.options_.reset_control->read(0, data);
    if (data.size() != 4) return bus::Access::bad_size;
    const uint32_t value = root_.address_;
    std::memcpy(data.data(), &value, 4);
    return bus::Access::done;
  }
  bus::Access write(uint64_t offset, std::span<const std::byte> data) override {
    if (is_reset_control(offset, data.size())) return root_.options_.reset_control->write(0, data);
    if (data.size() != 4) return bus::Access::bad_size;
    uint32_t value;
    std::memcpy(&value, data.data(), 4);
    root_.address_ = value & (kAddressEnable | 0x00ff'fffc);
    return bus::Access::done;
  }

 private:
  bool is_reset_control(uint64_t offset, size_t size) const {
    return offset == 1 && size == 1 && root_.options_.reset_control;
  }
  Root& root_;
};

class Root::DataPort final : public bus::Device {
 public:
  explicit DataPort(Root& root) : root_(root) {}
  bus::Access read(uint64_t offset, std::span<std::byte> data) override {
    const uint32_t address = root_.address_;
    if (!(address & kAddressEnable)) return bus::Access::no_register;
    if (offset % data.size()) return bus::Access::bad_size;
    root_.read_configuration(to_ecam(address, offset), data);
    return bus::Access::done;
  }
  bus::Access write(uint64_t offset, std::span<const std::byte> data) override {
    const uint32_t address = root_.address_;
    if (!(address & kAddressEnable)) return bus::Access::no_register;
    if (offset % data.size()) return bus::Access::bad_size;
    root_.write_configuration(to_ecam(address, offset), data);
    return bus::Access::done;
  }

 private:
  // Bus in bits 23:16, device 15:11, function 10:8, register 7:2.
  static uint32_t to_ecam(uint32_t address, uint64_t offset) {
    return (address & 0x00ff'ff00) << 4 | (address & 0xfc) | static_cast<uint32_t>(offset);
  }
  Root& root_;
};

Root::Root(const RootOptions& options)
    : options_(options), next_low_(options.low.base), next_high_(options.high.base) {
  for (unsigned i = 0; i < lines_.size(); ++i) {
    if (options.interrupt_lines[i]) lines_[i] = std::make_unique<SharedLine>(*options.interrupt_lines[i]);
  }
}

Root::~Root() = default;

Result<std::unique_ptr<Root>> Root::create(bus::AddressMap& ports, bus::AddressMap& memory,
                                           const RootOptions& options) {
  std::unique_ptr<Root> root(new Root(options));
  const auto add = [&](bus::AddressMap& map, Window window, std::unique_ptr<bus::Device> device,
                       std::string name) -> Result<> {
    root->windows_.push_back(std::move(device));
    return map.add(window.base, window.size, *root->windows_.back(), std::move(name));
  };
  Result<> added = add(ports, {kAddressPort, 4}, std::make_unique<AddressPort>(*root), "PCI address");
  if (added) added = add(ports, {kDataPort, 4}, std::make_unique<DataPort>(*root), "PCI data");
  if (added) added = add(memory, options.ecam, std::make_unique<EcamDevice>(*root), "PCI ECAM");
  if (added) {
    added = add(memory, options.low, std::make_unique<ApertureDevice>(*root, options.low.base), "PCI memory");
  }
  if (added && options.high.size) {
    added = add(memory, options.high, std::make_unique<ApertureDevice>(*root, options.high.base),
                "PCI memory, 64 bit");
  }
  if (!added) return std::unexpected(added.error());
  return root;
}

Result<uint64_t> Root::assign(const MemoryBar& bar, const std::string& name) {
  // Small BARs below 4 GiB, where every guest can reach them; but for memory, as what knows it knows 64 bits.
  const bool high =
      bar.is_64_bit && options_.high.size && (bar.is_prefetchable || bar.size > options_.low.size / 16);
  const Window& window = high ? options_.high : options_.low;
  uint64_t& next = high ? next_high_ : next_low_;
  const uint64_t address = (next + bar.size - 1) & ~(bar.size - 1);
  if (address < next || address - window.base > window.size ||
      bar.size > window.base + window.size - address) {
    return fail(ErrorCode::virtual_machine_limit_exceeded, name,
                fmt::format("no room for {:#x} bytes of device memory", bar.size), "configure fewer devices");
  }
  next = address + bar.size;
  return address;
}

Result<> Root::check_place(unsigned device, unsigned function, const std::string& name) const {
  if (device < kDevicesPerBus && function < kFunctionsPerDevice && !find(0, device, function)) return {};
  return fail(ErrorCode::internal, name,
              fmt::format("PCI slot {:02x}.{} is taken or does not exist", device, function));
}

Result<> Root::add(unsigned device, unsigned function, Function& what, const std::string& name) {
  if (auto placed = check_place(device, function, name); !placed) return placed;
  for (MemoryBar* bar : what.bars()) {
    const Result<uint64_t> address = assign(*bar, name);
    if (!address) return std::unexpected(address.error());
    bar->preassigned = *address;
  }
  connect(device, function, what);
  return {};
}

Result<> Root::plug(unsigned device, Function& what, const std::string& name) {
  if (auto placed = check_place(device, 0, name); !placed) return placed;
  for (MemoryBar* bar : what.bars()) bar->preassigned = MemoryBar::kNotDecoded;
  connect(device, 0, what);
  return {};
}

void Root::connect(unsigned device, unsigned function, Function& what) {
  for (MemoryBar* bar : what.bars()) routes_.push_back({&what, bar});
  std::byte pin{};
  what.read_configuration(kInterruptPin, std::span(&pin, 1));
  if (const auto number = static_cast<unsigned>(pin)) {
    const unsigned wire = (device + number - 1) % lines_.size();
    std::unique_ptr<bus::InterruptLine> tap;
    if (lines_[wire]) tap = std::make_unique<SharedLine::Tap>(*lines_[wire]);
    what.connect_interrupt(tap.get(), options_.interrupt_numbers[wire]);
    if (tap) taps_[&what] = std::move(tap);
  }
  what.reset();
  functions_[device * kFunctionsPerDevice + function] = &what;
}

void Root::hide(unsigned device) {
  functions_[device * kFunctionsPerDevice] = nullptr;
}

void Root::remove(unsigned device, Function& what) {
  hide(device);
  std::erase_if(routes_, [&](const Route& route) { return route.function == &what; });
  what.disconnect_interrupt();
  taps_.erase(&what);
}

void Root::reset() {
  address_ = 0;
  for (const auto& place : functions_) {
    if (Function* function = place) function->reset();
  }
}

Function* Root::find(unsigned bus, unsigned device, unsigned function) const {
  return bus == 0 ? functions_[device * kFunctionsPerDevice + function].load() : nullptr;
}

void Root::read_configuration(uint32_t address, std::span<std::byte> data) {
  Function* function = find(address >> 20, address >> 15 & 31, address >> 12 & 7);
  // Nobody there: all ones (PCI Local Bus 3.0, section 6.1).
  if (!function) return std::ranges::fill(data, std::byte{0xff}), void();
  function->read_configuration(address & 0xfff, data);
}

void Root::write_configuration(uint32_t address, std::span<const std::byte> data) {
  if (Function* function = find(address >> 20, address >> 15 & 31, address >> 12 & 7)) {
    function->write_configuration(address & 0xfff, data);
  }
}

}  // namespace alcove::pci
