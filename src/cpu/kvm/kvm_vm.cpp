#include "cpu/kvm/kvm_vm.h"

#include <algorithm>

namespace alcove::cpu::kvm {

namespace {

constexpr uint32_t kIoApicPins = 24;  // GSIs below are the I/O APIC's, those above are free for eventfds.
constexpr uint64_t kPrivateTss =
    0xfffbd000;  // Three pages below 4 GiB that no guest uses; Intel hosts want them.
constexpr uint64_t kIdentityMap = 0xfffbc000;

kvm_irq_routing_entry message_route(uint32_t gsi, const bus::Message& message) {
  kvm_irq_routing_entry entry{};
  entry.gsi = gsi;
  entry.type = KVM_IRQ_ROUTING_MSI;
  entry.u.msi.address_lo = static_cast<uint32_t>(message.address);
  entry.u.msi.address_hi = static_cast<uint32_t>(message.address >> 32);
  entry.u.msi.data = message.data;
  return entry;
}

}  // namespace

Result<std::unique_ptr<KvmVm>> KvmVm::create(int kvm, const VmOptions& options) {
  std::unique_ptr<KvmVm> vm(new KvmVm(options));
  auto fd = ALCOVE_KVM(kvm, KVM_CREATE_VM, 0ul);
  if (!fd) return std::unexpected(fd.error());
  vm->fd_ = UniqueFd(*fd);
  ioctl(*fd, KVM_SET_TSS_ADDR, kPrivateTss);
  uint64_t identity_map = kIdentityMap;
  ioctl(*fd, KVM_SET_IDENTITY_MAP_ADDR, &identity_map);

  kvm_enable_cap split{};
  split.cap = KVM_CAP_SPLIT_IRQCHIP;
  split.args[0] = kIoApicPins;
  if (auto done = ALCOVE_KVM(*fd, KVM_ENABLE_CAP, &split); !done) return std::unexpected(done.error());
  for (uint32_t slot = 0; slot < options.memory->regions().size(); ++slot) {
    if (auto done = vm->set_memory(slot, false); !done) return std::unexpected(done.error());
  }
  for (unsigned i = 0; i < options.cpu_count; ++i) {
    auto vcpu = KvmVcpu::create(kvm, *fd, i, options);
    if (!vcpu) return std::unexpected(vcpu.error());
    vm->vcpus_.push_back(std::move(*vcpu));
  }
  options.memory->set_window_observer(vm.get());
  return vm;
}

Result<> KvmVm::set_memory(uint32_t slot, bool log_dirty_pages) {
  const memory::Region& region = options_.memory->regions()[slot];
  kvm_userspace_memory_region setting{};
  setting.slot = slot;
  setting.flags = (region.read_only ? KVM_MEM_READONLY : 0) | (log_dirty_pages ? KVM_MEM_LOG_DIRTY_PAGES : 0);
  setting.guest_phys_addr = region.guest_address;
  setting.memory_size = region.size;
  setting.userspace_addr = reinterpret_cast<uint64_t>(region.host);
  if (auto done = ALCOVE_KVM(fd_.get(), KVM_SET_USER_MEMORY_REGION, &setting); !done)
    return std::unexpected(done.error());
  return {};
}

// Slots of their own, behind those of the regions. One that can't be where the guest wants it is nowhere.
void KvmVm::on_window_moved(size_t window, uint64_t address) {
  const memory::FileWindow& moved = *options_.memory->windows()[window];
  kvm_userspace_memory_region setting{};
  setting.slot = static_cast<uint32_t>(options_.memory->regions().size() + window);
  if (moved.address() != memory::FileWindow::kNowhere)
    ioctl(fd_.get(), KVM_SET_USER_MEMORY_REGION, &setting);  // Of no size: the slot is empty.
  if (address == memory::FileWindow::kNowhere) return;
  setting.guest_phys_addr = address;
  setting.memory_size = moved.size();
  setting.userspace_addr = reinterpret_cast<uint64_t>(moved.host());
  ioctl(fd_.get(), KVM_SET_USER_MEMORY_REGION, &setting);
}

void KvmVm::send(const bus::Message& message) {
  kvm_msi msi{};
  msi.address_lo = static_cast<uint32_t>(message.address);
  msi.address_hi = static_cast<uint32_t>(message.address >> 32);
  msi.data = message.data;
  ioctl(fd_.get(), KVM_SIGNAL_MSI, &msi);  // A message to no processor is lost, as on a real bus.
}

// KVM reports the end of an interrupt for the vectors of level-triggered routes of the first GSIs.
void KvmVm::set_level_triggered_vectors(std::span<const uint64_t, 4> vectors) {
  std::lock_guard lock(mutex_);
  level_vectors_.clear();
  for (unsigned vector = 0; vector < 256; ++vector) {
    if (vectors[vector / 64] >> (vector % 64) & 1) level_vectors_.push_back(static_cast<uint8_t>(vector));
  }
  (void)write_routes();  // Fails only if the table is too long, and this one has at most one entry a pin.
}

Result<> KvmVm::write_routes() {
  WithEntries<kvm_irq_routing, kvm_irq_routing_entry> table(kIoApicPins + routes_.size());
  uint32_t pin = 0;
  for (uint8_t vector : level_vectors_) {
    if (pin == kIoApicPins) break;
    constexpr uint64_t kEveryProcessor = 0xfeeff000;
    constexpr uint32_t kLevelTriggered = 1u << 15;
    table->entries[table->nr++] = message_route(pin++, {kEveryProcessor, kLevelTriggered | vector});
  }
  for (const auto& [fd, route] : routes_)
    table->entries[table->nr++] = message_route(route.gsi, route.message);
  if (auto done = ALCOVE_KVM(fd_.get(), KVM_SET_GSI_ROUTING, table.get()); !done)
    return std::unexpected(done.error());
  return {};
}

Result<> KvmVm::set_doorbell(uint64_t address, unsigned size, int event_fd, bool remove) {
  kvm_ioeventfd doorbell{};
  doorbell.addr = address;
  doorbell.len = size;
  doorbell.fd = event_fd;
  doorbell.flags = remove ? KVM_IOEVENTFD_FLAG_DEASSIGN : 0;
  if (auto done = ALCOVE_KVM(fd_.get(), KVM_IOEVENTFD, &doorbell); !done)
    return std::unexpected(done.error());
  return {};
}

Result<> KvmVm::bind_doorbell(uint64_t address, unsigned size, int event_fd) {
  return set_doorbell(address, size, event_fd, false);
}

void KvmVm::unbind_doorbell(uint64_t address, unsigned size, int event_fd) {
  (void)set_doorbell(address, size, event_fd, true);
}

Result<> KvmVm::bind_interrupt(int event_fd, const bus::Message& message) {
  std::lock_guard lock(mutex_);
  uint32_t gsi = kIoApicPins;
  while (std::ranges::any_of(routes_, [&](const auto& item) { return item.second.gsi == gsi; })) ++gsi;
  const bool known = routes_.contains(event_fd);
  if (known) gsi = routes_[event_fd].gsi;
  routes_[event_fd] = {gsi, message};
  if (auto done = write_routes(); !done) {
    routes_.erase(event_fd);
    return done;
  }
  if (known) return {};
  kvm_irqfd binding{};
  binding.fd = static_cast<uint32_t>(event_fd);
  binding.gsi = gsi;
  if (auto done = ALCOVE_KVM(fd_.get(), KVM_IRQFD, &binding); !done) {
    routes_.erase(event_fd);
    return std::unexpected(done.error());
  }
  return {};
}

void KvmVm::unbind_interrupt(int event_fd) {
  std::lock_guard lock(mutex_);
  const auto found = routes_.find(event_fd);
  if (found == routes_.end()) return;
  kvm_irqfd binding{};
  binding.fd = static_cast<uint32_t>(event_fd);
  binding.gsi = found->second.gsi;
  binding.flags = KVM_IRQFD_FLAG_DEASSIGN;
  ioctl(fd_.get(), KVM_IRQFD, &binding);
  routes_.erase(found);
  (void)write_routes();
}

Result<> KvmVm::fetch_dirty_log(uint64_t guest_address, std::span<uint64_t> bitmap) {
  const auto regions = options_.memory->regions();
  const auto region = std::ranges::find(regions, guest_address, &memory::Region::guest_address);
  if (region == regions.end() || bitmap.size() < (region->size / memory::kPageSize + 63) / 64) {
    return fail(ErrorCode::internal, "dirty_log",
                fmt::format("no memory region begins at {:#x}, or the bitmap is too small", guest_address));
  }
  const auto slot = static_cast<uint32_t>(region - regions.begin());
  std::lock_guard lock(mutex_);
  if (logged_slots_.insert(slot).second) {
    std::ranges::fill(bitmap, 0);
    return set_memory(slot, true);
  }
  kvm_dirty_log log{};
  log.slot = slot;
  log.dirty_bitmap = bitmap.data();
  if (auto done = ALCOVE_KVM(fd_.get(), KVM_GET_DIRTY_LOG, &log); !done) return std::unexpected(done.error());
  return {};
}

}  // namespace alcove::cpu::kvm
